package transport

import (
	"context"
	"errors"
	"fmt"
)

// outage is that a context ended while Redis could not be reached: both are told, and are in the chain.
type outage struct{ ended, reason error }

func (o *outage) Error() string { return fmt.Sprintf("%v (Redis: %v)", o.ended, o.reason) }

func (o *outage) Unwrap() []error { return []error{o.ended, o.reason} }

// During joins the end of a wait with the reason why Redis did not answer in that time; either may be nil.
func During(ended, why error) error {
	why = Reason(why)
	switch {
	case ended == nil:
		return why
	case why == nil:
		return ended
	}
	return &outage{ended, why}
}

// Reason is the part of an error about Redis: nil if only a context ended.
func Reason(err error) error {
	if o, ok := errors.AsType[*outage](err); ok {
		return o.reason
	}
	if err == context.Canceled || err == context.DeadlineExceeded { // as they are: the network's own errors may be like them
		return nil
	}
	return err
}
