/* The server's clock goes back. The owner of the hold is dead, or alive and relies on its bound; somebody waits and
 * checks at every tick.
 *
 *   NO_ANCHOR         the hold has a deadline, and is not anchored anew when the clock is behind the time of its grant
 */

#define LEASE 3
#define START 8             /* what the server's clock says at the grant */

byte clock = START, at = START;
byte age;                   /* ticks of true time since the grant */
bool held = true, stepped;
#ifdef NO_ANCHOR
#define ANCHORED true
#else
#define ANCHORED (clock >= at)
#endif
hidden byte I1_not_before_the_bound, a_dead_hold_ends;

active proctype server() {
end:
  do
  /* Any script. */
  :: d_step { held && clock >= at + LEASE ->
       I1_not_before_the_bound = age >= LEASE;
       assert(I1_not_before_the_bound);
       held = false }
#ifndef NO_ANCHOR
  :: d_step { held && clock < at -> at = clock }
#endif
  :: d_step { held && !stepped -> stepped = true; clock-- }
  :: d_step { held && !stepped -> stepped = true; clock = clock - LEASE }
  :: d_step { held && !stepped -> stepped = true; clock = clock - START }
  /* The next tick, when what was due has been done. */
  :: d_step { held && clock < at + LEASE && ANCHORED ->
       clock++; age++;
       a_dead_hold_ends = age <= 2 * LEASE;
       assert(a_dead_hold_ends) }
  od
}
