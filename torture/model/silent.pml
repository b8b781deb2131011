/* A Client whose connection is half open has many places, and somebody who lives waits behind them. PUBLISH counts a
 * receiver, so each of those places may cost a claim before it is seen that nobody is there.
 *
 * A tick is a second. The Client was last heard of at most one check, 2 s, before it went silent.
 *
 *   NO_LAST_SEEN      the hand-over does not look when a Client was last heard of
 */

#define PLACES 4
#define CLAIM 5
#define UNSEEN 7

byte places = PLACES, seen, claim, wasted;
hidden byte silence_costs_two_claims;

active proctype lock() {
  if
  :: seen = 0
  :: seen = 1
  :: seen = 2
  fi;
  /* The lock may be held for any time before its first hand-over. */
  do
  :: seen <= UNSEEN -> seen++
  :: break
  od;
  do
  :: atomic { claim == 0 && places > 0 ->
       places--;
       if
#ifdef NO_LAST_SEEN
       :: true -> claim = CLAIM; wasted++
#else
       :: seen <= UNSEEN -> claim = CLAIM; wasted++
       :: else
#endif
       fi }
  :: d_step { claim > 0 -> claim--; seen = (seen <= UNSEEN -> seen + 1 : seen) }
  :: claim == 0 && places == 0 -> break
  od;
  silence_costs_two_claims = wasted <= 2;
  assert(silence_costs_two_claims)
}
