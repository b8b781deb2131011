/* A steal from a holder that lives but does not hear of it: the message is lost, and so may be its renewals. It must learn
 * it in time, the hold must end, and nobody else may have it before the holder's bound.
 *
 * A tick is a third of the lease; a request and its answer arrive within one.
 *
 *   NO_REFUSAL        a revoked hold is renewed like any other
 *   NO_ACKNOWLEDGE    a steal takes the hold away at once
 */

#define LEASE 3

byte ends = LEASE, bound = LEASE;       /* ticks until the server's deadline, and until the holder's bound */
byte age;                               /* ticks since the revocation */
byte losses = LEASE;
bool revoked, renewed, given, thief;
hidden byte I1_one_body, a_revoked_hold_ends;

active proctype lock() {
end:
  do
  :: d_step { !revoked ->
       revoked = true;
#ifdef NO_ACKNOWLEDGE
       given = true
#endif
     }
  /* The message is lost. So the holder's next renewal, one in each tick, is refused, and the hold given up, */
  :: d_step { bound > 0 && !renewed && !given ->
       renewed = true;
#ifdef NO_REFUSAL
       ends = LEASE; bound = LEASE
#else
       if
       :: revoked -> bound = 0; given = true
       :: else -> ends = LEASE; bound = LEASE
       fi
#endif
     }
  /* or it is lost, too. */
  :: d_step { bound > 0 && !renewed && losses > 0 -> losses--; renewed = true }
  /* Time. The holder's clock is not behind the server's. */
  :: d_step { (renewed || bound == 0) && !thief && ends > 0 ->
       renewed = false; ends--;
       bound = (bound > 0 -> bound - 1 : 0);
       age = (revoked -> age + 1 : 0);
       a_revoked_hold_ends = age <= LEASE;
       assert(a_revoked_hold_ends) }
  :: d_step { (given || ends == 0) && revoked && !thief ->
       thief = true;
       I1_one_body = bound == 0;
       assert(I1_one_body) }
  od
}
