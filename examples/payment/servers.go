package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
)

const (
	redisEnv    = "REDISLOCK_URL"
	postgresEnv = "DATABASE_URL"
	// reachTime is how long a server may take to answer.
	reachTime = 10 * time.Second
)

// servers are the Redis and the PostgreSQL of the show: those that the environment names, or else its own, which
// listen on sockets in a temporary directory.
type servers struct {
	redis, postgres           string // URLs, which may hold passwords
	whereRedis, wherePostgres string // for people

	dir string
	own []*server
}

// server is a process that was started here.
type server struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	gone chan struct{} // closed when the process has ended; then log is complete
}

func findServers(ctx context.Context) (_ *servers, err error) {
	s := &servers{redis: os.Getenv(redisEnv), postgres: os.Getenv(postgresEnv), whereRedis: "that of " + redisEnv, wherePostgres: "that of " + postgresEnv}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "payment-"); err != nil {
		return nil, err
	}
	if s.redis == "" {
		if err := s.startRedis(); err != nil {
			return nil, fmt.Errorf("start Redis: %w; or name one by %s", err, redisEnv)
		}
	}
	options, err := redis.ParseURL(s.redis)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read; it must be like redis://user:password@host:6379/0", redisEnv)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	if err := s.reach(ctx, func(ctx context.Context) error { return rdb.Ping(ctx).Err() }); err != nil {
		return nil, fmt.Errorf("reach Redis: %w", err)
	}

	if s.postgres == "" {
		if err := s.startPostgres(); err != nil {
			return nil, fmt.Errorf("start PostgreSQL: %w; or name one by %s", err, postgresEnv)
		}
	}
	config, err := pgx.ParseConfig(s.postgres)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read; it must be like postgres://user:password@host:5432/database", postgresEnv)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	if err := s.reach(ctx, db.PingContext); err != nil {
		return nil, fmt.Errorf("reach PostgreSQL: %w", err)
	}
	return s, nil
}

// reach waits for the first answer.
func (s *servers) reach(ctx context.Context, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	for {
		err := ping(ctx)
		if err == nil {
			return nil
		}
		for _, own := range s.own {
			select {
			case <-own.gone:
				return fmt.Errorf("%s ended: %s", own.cmd.Path, own.log.String())
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *servers) startRedis() error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not on the PATH: install it (apt-get install redis-server)")
	}
	socket := filepath.Join(s.dir, "redis.sock")
	s.redis, s.whereRedis = "unix://"+socket, "a server of its own"
	return s.serve(exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", s.dir))
}

// startPostgres makes a database and serves it. PostgreSQL does not run as root, so for root it runs as another user.
func (s *servers) startPostgres() error {
	initdb, err := findPostgres("initdb")
	if err != nil {
		return err
	}
	postgres, err := findPostgres("postgres")
	if err != nil {
		return err
	}
	home := filepath.Join(s.dir, "postgres")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		if attr.Credential, err = ordinaryUser(); err != nil {
			return err
		}
		if err := errors.Join(os.Chmod(s.dir, 0o711), os.Chown(home, int(attr.Credential.Uid), int(attr.Credential.Gid))); err != nil {
			return err
		}
	}
	command := func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.SysProcAttr = home, attr
		return cmd
	}
	data := filepath.Join(home, "data")
	if said, err := command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, said)
	}
	s.postgres, s.wherePostgres = "postgres://postgres@/postgres?host="+url.QueryEscape(home), "a server of its own"
	return s.serve(command(postgres, "-D", data, "-h", "", "-k", home, "-F"))
}

// findPostgres looks on the PATH, and then where Debian has PostgreSQL.
func findPostgres(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	paths, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(paths) == 0 {
		return "", fmt.Errorf("%s is not on the PATH: install it (apt-get install postgresql)", name)
	}
	return paths[len(paths)-1], nil
}

func ordinaryUser() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// serve runs a server until the show is over.
func (s *servers) serve(cmd *exec.Cmd) error {
	dieWithParent(cmd)
	own := &server{cmd: cmd, gone: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &own.log, &own.log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(own.gone)
		_ = cmd.Wait() // the error says that a signal ended it, as was intended
	}()
	s.own = append(s.own, own)
	return nil
}

// stop ends the servers that were started, and removes their data.
func (s *servers) stop() {
	for _, own := range s.own {
		_ = own.cmd.Process.Signal(syscall.SIGINT) // PostgreSQL's fast shutdown; the process may have ended already
		select {
		case <-own.gone:
		case <-time.After(cleanupTime):
			_ = own.cmd.Process.Kill()
			<-own.gone
		}
	}
	_ = os.RemoveAll(s.dir) // what remains is in the system's temporary directory
}
