package peer

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// ruei has the setting of its README for one Redis: a majority of one key, and no notifications of its own writes.
func ruei() Peer { return rueiOf(1) }

// rueiOf needs a majority of n keys, of 2n-1.
func rueiOf(majority int32) Peer {
	return Peer{
		Name: "rueidislock", Module: "github.com/redis/rueidis", Renews: true,
		Setting: "the README's for one Redis: majority of 1, NOLOOP; validity 5 s, renewed",
		Open: func(addr string, o Options) (Locker, error) {
			client := rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: !o.Cluster}
			if o.Wrap != nil {
				client.DialCtxFn = func(ctx context.Context, addr string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
					return o.wrap(dialer.DialContext(ctx, "tcp", addr))
				}
			}
			l, err := rueidislock.NewLocker(rueidislock.LockerOption{
				ClientOption:   client,
				KeyMajority:    majority,
				NoLoopTracking: true,
				KeyValidity:    o.TTL,
			})
			return rueiClient{l}, err
		},
	}
}

type rueiClient struct{ rueidislock.Locker }

func (c rueiClient) Lock(ctx context.Context, name string) (Release, error) {
	_, cancel, err := c.WithContext(ctx, name)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { cancel(); return nil }, nil
}
