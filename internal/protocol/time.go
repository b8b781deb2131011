package protocol

import "time"

// Micros is a time of the server in µs since 1970.
type Micros int64

// Sub is the time from n to m.
func (m Micros) Sub(n Micros) time.Duration { return time.Duration(m-n) * time.Microsecond }

// Add is the time d later.
func (m Micros) Add(d time.Duration) Micros { return m + Micros(d/time.Microsecond) }

// Time is the same as a time of this machine; zero stays zero.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m))
}
