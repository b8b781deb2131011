package redislock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/lua"
)

// maxShown is how many holders and how many waiters Inspect shows.
const maxShown = 1000

// Info is the state of one lock at one moment of the server.
type Info struct {
	Name string
	// Now is the server's time.
	Now time.Time
	// Fence is the last fence that was granted; 0 if none is remembered.
	Fence int64
	// Holders is how many holders there are. Holds are the first of them, in the order of their grants.
	Holders int
	Holds   []Hold
	// Waiting is how many waiters there are. Places are the first of them, in their order.
	Waiting int
	Places  []Place
}

// Hold is one hold.
type Hold struct {
	// ID tells this hold from every other. It is that of the [Place] that the hold was granted to, if it was waited for, and
	// stays for as long as the hold lasts. It gives no access to the lock.
	ID    string
	Owner Owner
	// Since is when the hold was granted. Deadline is when it lapses unless it is renewed.
	Since, Deadline time.Time
	// Lease is how long the hold lasts after each renewal: the last one was at [Hold.Renewed]. Of a grant that its owner has
	// not confirmed yet it is a claim of at most 5 s.
	Lease time.Duration
	Fence int64
	// Mode and Weight are what it counts as.
	Mode   Mode
	Weight int
	// Revoked says that the hold was stolen and waits for its owner to give it up. Its renewals are refused.
	Revoked bool
	// Kept says that the holder has given the hold back, and that it stays until its deadline ([Lock.ReleaseAfter],
	// [WithAtLeast]).
	Kept bool

	token string
}

// Renewed is when the hold was last renewed, or else granted, by the server's clock. A Client renews after each third of the
// lease, unless the lock was taken [WithoutRenewal]. It is not known of a hold that is Kept, and zero then.
func (h Hold) Renewed() time.Time {
	if h.Kept || h.Lease == 0 {
		return time.Time{}
	}
	return h.Deadline.Add(-h.Lease)
}

// Place is one place in the queue.
type Place struct {
	// ID tells this place from every other; see [Hold].
	ID    string
	Owner Owner
	// Since is when the waiter joined the queue; zero for a reader that waits to become the writer ([Lock.Upgrade]).
	Since time.Time
	// Mode and Weight are what it asks for.
	Mode   Mode
	Weight int
}

// Inspect tells who holds a lock and who waits for it, in order, the first 1,000 of each. It changes nothing. For a name that
// nobody uses it shows no holds and no places.
func (c *Client) Inspect(ctx context.Context, name string) (Info, error) {
	info, err := c.inspect(ctx, name, maxShown)
	return info, wrapOp("inspect", name, err)
}

func (c *Client) inspect(ctx context.Context, name string, shown int) (Info, error) {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return Info{}, err
	}
	a := c.query(ctx, lua.Inspect, c.keys.Lock(name), shown)
	if a.Err != nil {
		return Info{}, a.Err
	}
	info, err := parseInfo(name, a.Value)
	if err == nil && info.Fence > 0 {
		c.floors.note(name, info.Fence)
	}
	return info, err
}

// parseInfo reads the answer of the scripts inspect and watch.
func parseInfo(name string, answer any) (Info, error) {
	f, err := protocol.FieldsOf(answer)
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name, Now: f.Micros(0).Time(), Waiting: f.Int(2), Holders: f.Int(3)}
	if f.Text(1) != "" {
		info.Fence = int64(f.Micros(1))
	}
	i := 5
	for range min(f.Int(4), len(f.Values)) {
		mode, weight := protocol.ParseMode(f.Text(i + 5))
		info.Holds = append(info.Holds, Hold{
			ID: publicID(f.Text(i + 3)), Since: f.Micros(i).Time(), Deadline: f.Micros(i + 1).Time(), Fence: int64(f.Micros(i + 2)), token: f.Text(i + 3),
			Revoked: f.Text(i+4) == "r", Kept: f.Text(i+4) == "k", Mode: Mode{wire: mode}, Weight: weight, Owner: parseOwner(f.Text(i + 6)),
			Lease: time.Duration(f.Int(i+7)) * time.Millisecond,
		})
		i += 8
	}
	for ; i+3 < len(f.Values); i += 4 {
		mode, weight := protocol.ParseMode(f.Text(i + 2))
		info.Places = append(info.Places, Place{ID: publicID(f.Text(i + 1)), Since: f.Micros(i).Time(), Mode: Mode{wire: mode}, Weight: weight, Owner: parseOwner(f.Text(i + 3))})
	}
	return info, f.Err
}

// publicID is an ID for others to see. The token itself stays hidden, because whoever knows a token can give the hold back.
func publicID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

// These are the longest name of a Client, and the longest name of its host, in bytes.
const maxClientName, maxHost = 128, 255

// Owner says who holds a lock or waits for it. Its texts are as others wrote them; show only what String returns.
type Owner struct {
	// Client is the name given by [WithName].
	Client string
	// Host and PID are the machine and the process of the Client.
	Host string
	PID  int
	// Metadata is the text of [WithMetadata].
	Metadata string
	// Trace is the text of [WithTrace] for the call that asked for the lock.
	Trace string
}

// String is like "api (pid 12 on node-3): import of 2026-11-21", on one line. Characters that cannot be shown, such as
// control characters and those that change the direction of text, are escaped.
func (o Owner) String() string {
	if o == (Owner{}) {
		return "someone"
	}
	text := fmt.Sprintf("%s (pid %d on %s)", o.Client, o.PID, o.Host)
	if o.Metadata != "" {
		text += ": " + o.Metadata
	}
	return safetext.Escape(text)
}

// myself is this process as an Owner, under the given name or the program's own.
func myself(name string) Owner {
	host, _ := os.Hostname() // for people; an unknown host is shown as such
	if name == "" {
		name = plainText(program(os.Args), maxClientName)
	}
	return Owner{Client: name, Host: plainText(host, maxHost), PID: os.Getpid()}
}

// program is the name of a program that was started with these arguments. Whoever starts it chooses them, and may give none.
func program(args []string) string {
	if len(args) > 0 && args[0] != "" {
		return filepath.Base(args[0])
	}
	path, _ := os.Executable()
	return filepath.Base(path)
}

// plainText makes a text fit for a name: it has no more than that many bytes, and no control characters, which would be taken
// for the end of the line that carries it.
func plainText(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	for len(text) > most {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}

// info is the form in which an Owner is sent: a line each for client, host and pid, and then the metadata. The trace, if
// there is one, stands behind the pid.
func (o Owner) info() string {
	text := o.Client + "\n" + o.Host + "\n" + strconv.Itoa(o.PID)
	if o.Trace != "" {
		text += " " + o.Trace
	}
	return text + "\n" + o.Metadata
}

func parseOwner(info string) Owner {
	parts := strings.SplitN(info, "\n", 4)
	if len(parts) < 4 {
		return Owner{Metadata: info}
	}
	number, trace, _ := strings.Cut(parts[2], " ")
	pid, _ := strconv.Atoi(number) // a text for people: a pid that is no number is shown as 0
	return Owner{Client: parts[0], Host: parts[1], PID: pid, Trace: trace, Metadata: parts[3]}
}
