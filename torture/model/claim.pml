/* A hand-off whose message is lost. The waiter lives and checks in time, and one answer to its checks is lost, too. The
 * hold that it was given must not lapse before it has heard of it.
 *
 * A tick is half a second: a claim is 10, checks are 3 or 4 apart, a request and its answer are at most 1 under way.
 *
 *   NO_LONG_CLAIM     the claim is as short as the time between two checks
 *   NO_CONFIRM        a check that finds its token granted leaves the claim as it is
 */

#define LEASE 20
#ifdef NO_LONG_CLAIM
#define CLAIM 4
#else
#define CLAIM 10
#endif
#define FOREVER 255

bool granted, knows;
byte ends = FOREVER;        /* ticks until the server's deadline */
byte since;                 /* ticks since the last check was sent */
byte asked;                 /* ticks that a check has been under way, + 1; 0: none is */
byte answer;                /* likewise, of an answer that says granted */
byte bound;                 /* what is left of the hold, in that answer */
byte lost = 1;              /* answers that may be lost */

hidden byte no_grant_lapses_unseen;

active proctype wait() {
end:
  do
  /* The one before it releases: the place becomes a hold, and the message reaches nobody. */
  :: d_step { !granted -> granted = true; ends = CLAIM }

  :: d_step { !knows && asked == 0 && answer == 0 && since >= 3 -> asked = 1; since = 0 }
  :: d_step { asked > 0 && !granted -> asked = 0 }                  /* "waiting" */
  :: d_step { asked > 0 && granted && ends > 0 ->
       asked = 0; answer = 1;
#ifndef NO_CONFIRM
       ends = LEASE;
#endif
       bound = ends }
  :: d_step { answer > 0 && lost > 0 -> lost--; answer = 0; bound = 0 }
  :: d_step { answer > 0 && bound > 0 -> answer = 0; knows = true; ends = FOREVER; bound = 0; since = 0 } /* and renews */

  /* Time goes on when nothing is overdue. */
  :: d_step { !knows && asked < 2 && answer < 2 && (since < 4 || asked > 0 || answer > 0) ->
       since = (since < 4 -> since + 1 : since);
       asked = (asked > 0 -> asked + 1 : 0);
       answer = (answer > 0 -> answer + 1 : 0);
       bound = (bound > 0 -> bound - 1 : 0);
       ends = (ends < FOREVER -> ends - 1 : ends);
       no_grant_lapses_unseen = ends > 0;
       assert(no_grant_lapses_unseen) }
  od
}
