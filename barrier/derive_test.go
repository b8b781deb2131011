package barrier

import "testing"

// TestNoNameOfALockIsAnothers tries names that look like parts of the names of locks.
func TestNoNameOfALockIsAnothers(t *testing.T) {
	roles := []string{latchParts, latchCount, barrierIn, barrierInIs, barrierOut, barrierOutIs, conditionQueue, conditionSignals, conditionNext}
	names := []string{"a"}
	for _, role := range roles {
		names = append(names, role, role+"a", "a"+role, role[:len(role)-1], role[1:], ":"+role)
		for i, c := range role {
			if c == '@' {
				names = append(names, role[i:], role[i:]+"a", "a"+role[i:len(role)-1])
			}
		}
	}
	whose := map[string]string{}
	for _, role := range roles {
		if len(role) > len(conditionSignals) {
			t.Errorf("MaxName has no room for %s", role)
		}
		tried := map[string]bool{}
		for _, name := range names {
			if tried[name] {
				continue
			}
			tried[name] = true
			if other, taken := whose[role+name]; taken {
				t.Errorf("%s%s is also that of %s", role, name, other)
			}
			whose[role+name] = role + " of " + name
		}
	}
}
