package redislock

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/lua"
)

const (
	// DefaultShown is how many holders and how many waiters [Client.Inspect] and [Client.Watch] show at a time, and MaxShown how
	// many [WithShown] may have them show.
	DefaultShown = 50
	MaxShown     = 1000
)

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
	// Limit is what [Client.SetLimit] limits the holds to, beside their modes; the zero Limit if nothing does.
	Limit Limit

	// The tokens behind which InspectMore goes on, and whether it does: there are others.
	holdsOn, placesOn string
}

// More reports whether there are more holders than Holds has, or more waiters than Places. [Client.InspectMore] shows the next of
// them.
func (i Info) More() bool { return i.holdsOn != "" || i.placesOn != "" }

// Hold is one hold.
type Hold struct {
	// ID tells this hold from every other. If the hold was waited for, it is the ID of its [Place]. It stays as long as the hold
	// lasts. It gives no access to the lock.
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
	// Under are the IDs of the holds under whose context it was asked for, of the same lock or others; see [Client.Deadlocks].
	Under []string

	token string
}

// Inspect returns who holds a lock and who waits for it, in order. It shows the first 50 of each, or as many as [WithShown] says,
// and counts all of them. It changes nothing. For a name that nobody uses it shows no holds and no places. [Client.InspectMore]
// shows the next ones: each costs Redis some 2 µs, during which it serves nobody else.
func (c *Client) Inspect(ctx context.Context, name string) (Info, error) {
	info, err := c.inspect(ctx, name, 0)
	return info, wrapOp("inspect", name, err)
}

// InspectMore adds to info the next holders and the next waiters, as many of each as [Client.Inspect] shows. The counts, the
// fence, the limit and the time of the result are current. The holders and waiters that info already has stay as they were seen
// then. info must come from Inspect, InspectMore or [Client.Watch] of a Client of this process. If info has all of them,
// InspectMore returns it unchanged, and sends nothing:
//
//	for err == nil && info.More() {
//		info, err = client.InspectMore(ctx, info)
//	}
//
// Nobody is in the result twice. A holder or waiter that came, left or changed its place between the calls may be missing. After
// an error, the Info is the one that was given.
func (c *Client) InspectMore(ctx context.Context, info Info) (Info, error) {
	more, err := c.inspectMore(ctx, info)
	if err != nil {
		return info, wrapOp("inspect", info.Name, err)
	}
	return more, nil
}

func (c *Client) inspectMore(ctx context.Context, info Info) (Info, error) {
	if err := c.mayLook(ctx, info.Name, itself); err != nil {
		return info, err
	}
	seen := make(map[string]bool, len(info.Holds)+len(info.Places))
	for _, h := range info.Holds {
		seen["h"+h.token] = true
	}
	for _, p := range info.Places {
		seen["w"+p.token] = true
	}
	info.Holds, info.Places = slices.Clip(info.Holds), slices.Clip(info.Places)
	// If the hold or place behind which to go on has gone, Redis begins at the first, and some pages have nothing new.
	for added := 0; added == 0 && info.More(); {
		on := func(token string) string { return cmp.Or(token, "-") }
		next, err := c.inspect(ctx, info.Name, 0, on(info.holdsOn), on(info.placesOn))
		if err != nil {
			return info, err
		}
		for _, h := range next.Holds {
			if !seen["h"+h.token] {
				info.Holds, added = append(info.Holds, h), added+1
			}
		}
		for _, p := range next.Places {
			if !seen["w"+p.token] {
				info.Places, added = append(info.Places, p), added+1
			}
		}
		info.Now, info.Fence, info.Holders, info.Waiting, info.Limit = next.Now, next.Fence, next.Holders, next.Waiting, next.Limit
		info.holdsOn, info.placesOn = next.holdsOn, next.placesOn
	}
	return info, nil
}

// inspect shows so many of the holds and of the places, or as many as the Client shows if the number is 0. It begins at the
// first, or behind the tokens of a hold and of a place.
func (c *Client) inspect(ctx context.Context, name string, shown int, behind ...any) (Info, error) {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil { // go-redis may send all the same
		return Info{}, err
	}
	a := c.query(ctx, lua.Inspect, c.keys.Lock(name), append([]any{cmp.Or(shown, c.shown)}, behind...)...)
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
		info.Places = append(info.Places, Place{
			ID: publicID(f.Text(i + 1)), Since: f.Micros(i).Time(), token: f.Text(i + 1), Mode: Mode{wire: mode}, Weight: weight, Owner: parseOwner(f.Text(i + 3)),
			Under: underOf(f.Text(i + 3)),
		})
	}
	if i < len(f.Values) {
		info.holdsOn, info.placesOn = f.Text(i), f.Text(i+1)
	}
	if i+2 < len(f.Values) {
		until, rules, ok := protocol.CutLimit(f.Text(i + 2))
		at, err := protocol.ParseMicros(until)
		if !ok || err != nil {
			f.Fail(i + 2)
			return Info{}, f.Err
		}
		info.Limit = Limit{Rules: limitRules(rules), Until: at.Time()}
	}
	return info, f.Err
}

// publicID is an ID for others to see. The token itself stays hidden, because anybody who knows it can give the hold back.
func publicID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

// These are the longest name of a Client, and the longest name of its host, in bytes.
const maxClientName, maxHost = 128, 255

// Owner says who holds a lock or waits for it. Its texts are as the owner wrote them: show only what String returns.
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
	// Turns says that the process passes the lock on among its goroutines, or keeps it for a moment after the release
	// ([WithTurn], [WithLinger]). All other fields, and those of the hold, are of the goroutine that asked Redis. Another
	// goroutine of the process may have the lock by now, or none.
	Turns bool
}

// String is like "api (pid 12 on node-3): import of 2026-11-21", or "api (pid 12 on node-3, in turns)", on one line. Characters
// that cannot be shown, such as control characters and those that change the direction of text, are escaped.
func (o Owner) String() string {
	if o == (Owner{}) {
		return "someone"
	}
	turns := ""
	if o.Turns {
		turns = ", in turns"
	}
	text := fmt.Sprintf("%s (pid %d on %s%s)", o.Client, o.PID, o.Host, turns)
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

// program is the name of a program that was started with these arguments. The process that starts the program chooses them, and
// may give none.
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

// info is the form in which an Owner is sent: a line each for client, host and process, and then the metadata. What processOf
// reads stands in the line of the process.
func (o Owner) info() string {
	text := o.Client + "\n" + o.Host + "\n" + strconv.Itoa(o.PID)
	switch {
	case o.Turns:
		text += " " + o.Trace + "  " + turnsMark
	case o.Trace != "":
		text += " " + o.Trace
	}
	return text + "\n" + o.Metadata
}

func parseOwner(info string) Owner {
	parts := strings.SplitN(info, "\n", 4)
	if len(parts) < 4 {
		return Owner{Metadata: info}
	}
	process := processOf(parts[2])
	pid, _ := strconv.Atoi(process[0]) // a text for people: a pid that is no number is shown as 0
	return Owner{Client: parts[0], Host: parts[1], PID: pid, Trace: process[1], Metadata: parts[3], Turns: process[3] == turnsMark}
}

// turnsMark says of a request that its process takes the lock in turns.
const turnsMark = string(protocol.TurnsMark)

// processOf is what the line of a process says: the pid, the trace, the IDs of the holds that the request was made under, and turnsMark.
func processOf(line string) (words [4]string) {
	for i := range words {
		words[i], line, _ = strings.Cut(line, " ")
	}
	return words
}
