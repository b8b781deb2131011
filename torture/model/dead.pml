/* A waiter that nobody hears for: its process is dead, and has places before somebody who lives; or it lives, its subscription
 * is made anew, and its checks go on. Nobody is told which it is, so the lock is its own until its next check is overdue.
 *
 * A tick is half a second: a claim is 10, a check is executed 3 or 4 after the one before, and a moment.
 *
 *   NO_SHORT_CLAIM    the claim of a waiter that nobody hears for is that of any other
 *   NO_LAST_CHECK     it is gone at once
 */

#define PLACES 3
#define CLAIM 10
#define CHECKED 5

bool dead, waits = true, holds;
byte places = PLACES;
byte seen;                  /* ticks since its last check was executed */
byte claim, spent;
hidden byte the_dead_cost_no_more_than_a_check, a_place_is_kept;

#ifdef NO_LAST_CHECK
#define GONE true
#else
#define GONE (seen >= CHECKED)
#endif

inline hand_over() {
  if
  :: GONE -> places = 0; a_place_is_kept = dead; assert(a_place_is_kept)
  :: else ->
     places--; holds = true;
#ifdef NO_SHORT_CLAIM
     claim = CLAIM
#else
     claim = CHECKED - seen
#endif
  fi
}

active proctype lock() {
  if
  :: dead = true
  :: dead = false
  fi;
  /* It was checked at any time up to a check ago. */
  do
  :: seen < 4 -> seen++
  :: break
  od;
  do
  :: d_step { !holds && places > 0 -> hand_over() }
  :: d_step { !dead && seen >= 3 ->                           /* a check is executed, and finds the grant */
       seen = 0;
       if
       :: holds -> places = 0; holds = false; claim = 0
       :: else
       fi }
  :: d_step { holds && claim > 0 && (dead || seen < 4) ->     /* a tick; who lives checks in time */
       claim--; spent++;
       seen = (seen < CHECKED -> seen + 1 : seen);
       if
       :: claim == 0 -> holds = false; a_place_is_kept = dead; assert(a_place_is_kept)
       :: else
       fi }
  :: !holds && places == 0 -> break
  od;
  the_dead_cost_no_more_than_a_check = spent <= CHECKED;
  assert(the_dead_cost_no_more_than_a_check)
}
