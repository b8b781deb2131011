/* The races of one lock's requests: who may believe that it holds the lock, what is left behind, and who is stuck.
 *
 * Requests travel on connections of their own, so they are executed in any order, and at any time after they were
 * sent. A script is one step, because Redis runs it as one. README.md says what is modelled and what is not.
 *
 * A client has some waits, each with a token of its own. Everything that could go on for ever has a budget, and
 * every other step moves a request or a wait forward, so every run ends, and `timeout` in the monitor is its end.
 *
 * Every rule is on. -DNO_<RULE> takes one away:
 *
 *   NO_NEW_TOKEN      a client uses one token for all its waits
 *   NO_OWN_RESENDS    a resend goes unnoticed, as go-redis does it: the client does not know that there may be a copy
 *   NO_TOMBSTONE      giving up leaves no tombstone
 *   NO_GIVE_BACK      the late answer of an acquire whose caller has gone is thrown away
 *   NO_CHECK_ONLY     a check joins, or takes a free lock, for a token it does not find
 *   NO_LAST_CHECK     a client without a receiver is gone at once, although its last check is not overdue
 *   NO_PROBE          a client believes that its receivers can be counted
 *   NO_SUBSCRIBE      a wait joins without a subscription
 *   NO_ACKNOWLEDGE    a steal takes the hold away at once
 *   NO_CHECKS         a wait relies on its message
 *   NO_REPAIR         a script leaves a free lock with a queue as it finds it
 *   NO_SAME_ANSWER    an acquire does not look whether its token has a hold or a place already
 *   NO_RESENT_OK      a resent release that finds nothing reports that the lock was lost
 *   NO_BOUND          a client believes in its hold for as long as it likes
 *   NO_LATE           a client believes in every grant, however late it hears of it
 */

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef FIRST_WAITS         /* of the first client */
#define FIRST_WAITS 2
#endif
#ifndef OTHER_WAITS         /* of each other one */
#define OTHER_WAITS 1
#endif
#ifndef TIMEOUTS            /* answers that do not come in time */
#define TIMEOUTS 1
#endif
#ifndef CHECKS              /* checks that race with something; those of a quiet lock are not counted */
#define CHECKS 1
#endif
#ifndef CANCELS             /* contexts that end while their caller waits */
#define CANCELS 1
#endif
#ifndef LOSSES              /* messages that get lost */
#define LOSSES 0
#endif
#ifndef STEALS
#define STEALS 0
#endif
#ifndef BREAKS              /* subscriptions that break */
#define BREAKS 0
#endif
#ifndef DEATHS              /* clients that vanish */
#define DEATHS 0
#endif
#ifndef CRUMBLES            /* tombstones that end, a minute after they were laid */
#define CRUMBLES 1
#endif
#ifndef LATES               /* checks that are overdue although their client lives and has its connections */
#define LATES 0
#endif
#ifndef UNCOUNTABLE         /* 1: each client may be one whose receivers cannot be counted */
#define UNCOUNTABLE 0
#endif
#ifndef UNSUBSCRIBED        /* 1: no client is subscribed at the beginning */
#define UNSUBSCRIBED 0
#endif
#ifndef TRIES               /* 1: a wait may be a TryAcquire; so does every one begin that is not subscribed yet */
#define TRIES 0
#endif

#define TOKENS (FIRST_WAITS + (CLIENTS - 1) * OTHER_WAITS)
#define WAITS(c) ((c) == 0 -> FIRST_WAITS : OTHER_WAITS)
#define FIRST(c) ((c) == 0 -> 0 : FIRST_WAITS + ((c) - 1) * OTHER_WAITS)
#define OWNER(t) ((t) < FIRST_WAITS -> 0 : 1 + ((t) - FIRST_WAITS) / OTHER_WAITS)
#ifdef NO_NEW_TOKEN
#define TOKEN(c) FIRST(c)
#else
#define TOKEN(c) (FIRST(c) + wait[c])
#endif
#define CURRENT(t) (wait[OWNER(t)] < WAITS(OWNER(t)) && TOKEN(OWNER(t)) == (t))
#define BELIEVES(t) (CURRENT(t) && state[OWNER(t)] == IN)

/* What a client does. */
#define START 0
#define ASKING 1            /* its acquire has no answer yet */
#define WAITING 2           /* it has a place, and knows it */
#define IN 3                /* it believes that it has the lock: the body runs */
#define RELEASING 4
#define DEAD 5
byte state[CLIENTS];
byte wait[CLIENTS];         /* which of its waits; WAITS(c): it is through */

/* The subscription. */
bool deaf[CLIENTS] = UNSUBSCRIBED;       /* its messages reach nobody */
bool broken[CLIENTS];       /* it was not there at some time, so its places may be passed over */
bool uncounted[CLIENTS];    /* PUBLISH answers 0 although it hears */
bool counts[CLIENTS];       /* what the client last said: 0 may mean gone */
bool overdue[CLIENTS];      /* its last check, or join, is so long ago that 0 does */

/* The server. */
byte hold;                  /* token + 1 */
byte queue[TOKENS];         /* token + 1 */
byte length;
bool tomb[TOKENS];
bool crumbled[TOKENS];      /* it had a tombstone, a minute ago */

/* Of each token: its requests under way, their answers, its messages. */
#define NONE 0
#define SENT 1              /* not executed yet */
#define GRANTED 2           /* answers */
#define EXPIRED 3           /* granted, but the server's deadline has passed since: its local bound is over, too */
#define QUEUED 4
#define REFUSED 5           /* held, over or gone: nothing was left */
byte ask[TOKENS];           /* the attempt of an acquire that somebody waits for */
bool joins[TOKENS];         /* it joins the queue; else it is a TryAcquire, or not subscribed */
bool left[TOKENS];          /* its caller has gone; only the late answer is dealt with */
bool bury[TOKENS];          /* an attempt had no answer: there may be a copy */
byte copies[TOKENS];        /* of the acquire, that nobody waits for any more */
byte tries[TOKENS];         /* likewise, of one that does not join */
byte check[TOKENS];
byte release[TOKENS];       /* GRANTED: it found a hold; REFUSED: nothing */
bool buries[TOKENS];        /* it leaves a tombstone */
bool again[TOKENS];         /* an earlier attempt of it had no answer */
byte releases[TOKENS];      /* copies of the release, or a late give-back */
byte burials[TOKENS];       /* likewise, with a tombstone */
byte message[TOKENS];       /* GRANTED: that it is */
bool robbed[TOKENS];        /* the message of a steal */
bool lapsed[TOKENS];        /* its hold ended by the server's deadline or a steal */

byte timeouts = TIMEOUTS, cancels = CANCELS, checks = CHECKS, losses = LOSSES, steals = STEALS, breaks = BREAKS, deaths = DEATHS, crumbles = CRUMBLES, lates = LATES;

hidden byte i, k, h, o, answer, bodies;
hidden byte found;

/* The promises, by the names under which a violation is reported. */
hidden byte I1_one_body, I1_belief_is_backed, I3_same_answer, I3_release_tells_the_truth, I8_nothing_left_behind;
#ifdef NO_NEW_TOKEN         /* breaks more than one promise: the search is for the worst, two bodies */
#define LESSER(promise) skip
#else
#define LESSER(promise) assert(promise)
#endif
hidden byte I5_no_live_waiter_passed_over, no_waiter_stuck, all_done;

inline seek(t) {
  found = false; i = 0;
  do
  :: i < length -> found = found || queue[i] == t + 1; i++
  :: else -> break
  od
}

inline leave(t) {
  i = 0; k = 0;
  do
  :: i < length ->
     if
     :: queue[i] != t + 1 -> queue[k] = queue[i]; k++
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = k;
  do
  :: i < length -> queue[i] = 0; i++
  :: else -> break
  od;
  length = k; i = 0; k = 0
}

#ifdef NO_LAST_CHECK
#define OVERDUE(c) true
#else
#define OVERDUE(c) overdue[c]
#endif

/* The lock goes to the first of the queue whose client can be there. */
inline hand_over() {
  do
  :: hold == 0 && length > 0 ->
     h = queue[0] - 1; o = OWNER(h);
     leave(h);
     if
     :: (deaf[o] || uncounted[o]) && counts[o] && OVERDUE(o) ->
        I5_no_live_waiter_passed_over = broken[o] && overdue[o] || state[o] == DEAD;
        assert(I5_no_live_waiter_passed_over)
     :: else ->
        hold = h + 1;
        if
        :: !deaf[o] && CURRENT(h) && (state[o] == ASKING || state[o] == WAITING) -> message[h] = GRANTED
        :: else                   /* nobody there hears it */
        fi
     fi
  :: else -> break
  od;
  h = 0; o = 0
}

#ifdef NO_REPAIR
#define repair() skip
#else
#define repair() hand_over()
#endif

inline tell(t) {
  overdue[OWNER(t)] = false;
#if defined(NO_PROBE)
  counts[OWNER(t)] = !deaf[OWNER(t)]
#elif defined(NO_SUBSCRIBE)
  counts[OWNER(t)] = !uncounted[OWNER(t)]
#else
  counts[OWNER(t)] = !uncounted[OWNER(t)] && !deaf[OWNER(t)]
#endif
}

/* The hold of an owner who believes in it is stale for another: it is told, or it was robbed. */
inline steal() {
  steals--;
  robbed[hold - 1] = BELIEVES(hold - 1) && !deaf[OWNER(hold - 1)];
#ifdef NO_ACKNOWLEDGE
  lapsed[hold - 1] = true;
  hold = 0;
  hand_over()
#endif
}

#ifdef NO_SAME_ANSWER
#define HAS_PLACE false
#else
#define HAS_PLACE found
#endif
inline join(t) {
  seek(t);
  if
  :: HAS_PLACE
  :: else ->
     I3_same_answer = !found && hold != t + 1;
     assert(I3_same_answer);
     queue[length] = t + 1; length++
  fi;
  tell(t)
}

inline do_acquire(t, wanted) {
  if
  :: tomb[t] -> answer = REFUSED
  :: else ->
     repair();
     seek(t);
#ifdef NO_SAME_ANSWER
     found = hold == 0 && length == 0;
     if
     :: found -> hold = t + 1; answer = GRANTED
#else
     if
     :: hold == t + 1 -> answer = GRANTED
     :: hold != t + 1 && !found && hold == 0 && length == 0 -> hold = t + 1; lapsed[t] = false; answer = GRANTED
#endif
     :: else ->
        if
        :: wanted -> join(t); answer = QUEUED
        :: else -> answer = REFUSED
        fi
     fi
  fi;
  found = false
}

inline do_release(t, stone) {
  answer = REFUSED;
  seek(t);
  if
  :: hold == t + 1 -> hold = 0; answer = GRANTED
  :: hold != t + 1 && found -> leave(t); answer = QUEUED
  :: else
  fi;
#ifndef NO_TOMBSTONE
  if
  :: stone -> tomb[t] = true
  :: else
  fi;
#endif
  hand_over();
  found = false
}

inline do_check(t) {
  seek(t);
  if
  :: found -> tell(t)
  :: else
  fi;
  repair();
  seek(t);
  if
  :: hold == t + 1 -> answer = GRANTED
  :: hold != t + 1 && found -> answer = QUEUED
  :: else ->
#ifdef NO_CHECK_ONLY
     do_acquire(t, true)
#else
     answer = REFUSED
#endif
  fi;
  found = false
}

/* The server's deadline has passed. Its owner's local bound had passed before, and so have those of all answers and
   messages that speak of this grant. */
#ifdef NO_BOUND
#define MAY_LAPSE(t) true
#else
#define MAY_LAPSE(t) (!BELIEVES(t))
#endif
inline lapse(t) {
  hold = 0;
  lapsed[t] = true;
#ifndef NO_LATE
  if :: ask[t] == GRANTED -> ask[t] = EXPIRED :: else fi;
  if :: check[t] == GRANTED -> check[t] = EXPIRED :: else fi;
  message[t] = NONE          /* who hears it has a check done, which finds what this one would */
#endif
}

/* I8: what its owner is through with, and no request speaks of any more, has left no trace. Beside that, what is of no
   consequence any more is made to make no different states: a tombstone that no request can meet, a second copy of a
   release where nothing can come in between. */
#ifdef NO_CHECK_ONLY
#define ASKED(t) (ask[t] == SENT || copies[t] + tries[t] > 0 || check[t] == SENT)
#else
#define ASKED(t) (ask[t] == SENT || copies[t] + tries[t] > 0)
#endif
#define QUIET(t) (ask[t] == NONE && copies[t] + tries[t] + releases[t] + burials[t] == 0 && release[t] == NONE && check[t] == NONE)
inline promise(t) {
  if
  :: !CURRENT(t) ->
     bury[t] = false; again[t] = false; lapsed[t] = false;
     if
     :: ask[t] == NONE -> left[t] = false; joins[t] = false; crumbled[t] = false
     :: else
     fi;
     if
     :: !ASKED(t) ->
        tomb[t] = false; buries[t] = false;
        releases[t] = (releases[t] + burials[t] > 0 && release[t] == NONE -> 1 : 0);
        burials[t] = 0
     :: else
     fi;
     if
     :: QUIET(t) && state[OWNER(t)] != DEAD ->
        seek(t);
        I8_nothing_left_behind = hold != t + 1 && !found;
        LESSER(I8_nothing_left_behind);
        found = false
     :: else
     fi
  :: else
  fi
}

inline enter(c) {
  state[c] = IN;
  message[TOKEN(c)] = NONE;
  I1_belief_is_backed = hold == TOKEN(c) + 1;
  bodies = 0; i = 0;
  do
  :: i < CLIENTS -> bodies = bodies + (state[i] == IN -> 1 : 0); i++
  :: else -> break
  od;
  I1_one_body = bodies <= 1;
  assert(I1_one_body);
#if !defined(NO_BOUND) && !defined(NO_LATE) && !defined(NO_ACKNOWLEDGE)
  LESSER(I1_belief_is_backed);    /* it is stronger: without these it would break first */
#endif
  i = 0; bodies = 0
}

inline begin(c, waits) {
#ifdef NO_NEW_TOKEN
  /* What is still under way for this token goes on beside the new wait. */
  if
  :: ask[TOKEN(c)] == SENT && joins[TOKEN(c)] -> copies[TOKEN(c)]++
  :: ask[TOKEN(c)] == SENT && !joins[TOKEN(c)] -> tries[TOKEN(c)]++
  :: else
  fi;
  if
  :: release[TOKEN(c)] == SENT && buries[TOKEN(c)] -> burials[TOKEN(c)]++
  :: release[TOKEN(c)] == SENT && !buries[TOKEN(c)] -> releases[TOKEN(c)]++
  :: else
  fi;
  release[TOKEN(c)] = NONE; left[TOKEN(c)] = false; bury[TOKEN(c)] = false; again[TOKEN(c)] = false; lapsed[TOKEN(c)] = false;
#endif
  joins[TOKEN(c)] = waits;
  ask[TOKEN(c)] = SENT;
  state[c] = ASKING
}

/* The wait is over, one way or the other. */
inline over(c) {
  h = TOKEN(c);
  message[h] = NONE; robbed[h] = false;
  if
  :: check[h] > SENT -> check[h] = NONE
  :: else
  fi;
  wait[c]++; state[c] = START;
  promise(h);
  h = 0
}

/* ... and what it has or may get is given up, in the background, until that is answered. */
inline give_up(c, stone) {
  release[TOKEN(c)] = SENT; buries[TOKEN(c)] = stone;
  over(c)
}

/* A request whose sender has hung up may still be executed. */
inline abandon(t) {
  if
  :: ask[t] == SENT && joins[t] -> copies[t]++
  :: ask[t] == SENT && !joins[t] -> tries[t]++
  :: else                   /* it was executed: its answer is lost */
  fi
}

inline lose_release(t) {
  timeouts--; again[t] = true;
  if
  :: release[t] == SENT && buries[t] -> burials[t]++
  :: release[t] == SENT && !buries[t] -> releases[t]++
  :: else
  fi;
  release[t] = SENT
}

inline vanish(c) {
  deaths--; deaf[c] = true; state[c] = DEAD;
  abandon(TOKEN(c));
  ask[TOKEN(c)] = NONE; message[TOKEN(c)] = NONE; robbed[TOKEN(c)] = false;
  if :: check[TOKEN(c)] > SENT -> check[TOKEN(c)] = NONE :: else fi;
  if :: release[TOKEN(c)] > SENT -> release[TOKEN(c)] = NONE :: else fi
}

/* Nothing is under way: what happens next is that a deadline passes, or that a check is due. */
#define STILL(t) (QUIET(t) && message[t] == NONE)
#if TOKENS == 6
#define ALL_STILL (STILL(0) && STILL(1) && STILL(2) && STILL(3) && STILL(4) && STILL(5))
#elif TOKENS == 4
#define ALL_STILL (STILL(0) && STILL(1) && STILL(2) && STILL(3))
#elif TOKENS == 3
#define ALL_STILL (STILL(0) && STILL(1) && STILL(2))
#elif TOKENS == 2
#define ALL_STILL (STILL(0) && STILL(1))
#endif

#define S state[_pid]
#define T TOKEN(_pid)
#define ANSWERED(what) (S == ASKING && ask[T] == what)
#define CHECKED(what) (S == WAITING && check[T] == what)

active [CLIENTS] proctype client() {
end:
  do
  :: d_step { S == START && wait[_pid] < WAITS(_pid) && !deaf[_pid] -> begin(_pid, true) }
#if TRIES
  :: d_step { S == START && wait[_pid] < WAITS(_pid) -> begin(_pid, false) }
#endif

  /* The acquire is answered, */
  :: d_step { ANSWERED(GRANTED) -> ask[T] = NONE; enter(_pid) }
  :: d_step { ANSWERED(EXPIRED) -> ask[T] = NONE; give_up(_pid, bury[T]) }
  :: d_step { ANSWERED(QUEUED) -> ask[T] = NONE; S = WAITING }
  :: d_step { ANSWERED(REFUSED) ->
       ask[T] = NONE;
       if
       :: bury[T] && !tomb[T] -> give_up(_pid, true)
       :: else -> over(_pid)
       fi }
#if TRIES
  :: d_step { ANSWERED(REFUSED) && !joins[T] && !deaf[_pid] && !tomb[T] -> joins[T] = true; ask[T] = SENT } /* it is subscribed by now */
#endif
  /* or not in time: it is sent again, or that was the last attempt, */
  :: d_step { S == ASKING && timeouts > 0 ->
       timeouts--; abandon(T); ask[T] = SENT
#ifndef NO_OWN_RESENDS
       ; bury[T] = true
#endif
     }
  :: d_step { S == ASKING && timeouts > 0 -> timeouts--; abandon(T); ask[T] = NONE; give_up(_pid, true) }
  /* or the caller's context ends first. */
  :: d_step { S == ASKING && cancels > 0 -> cancels--; left[T] = true; give_up(_pid, true) }

  /* A wait ends by its message, by a check, or with its context. */
  :: d_step { S == WAITING && message[T] == GRANTED -> enter(_pid) }
  :: d_step { CHECKED(GRANTED) -> check[T] = NONE; enter(_pid) }
  :: d_step { CHECKED(EXPIRED) -> check[T] = NONE; give_up(_pid, bury[T]) }
  :: d_step { CHECKED(REFUSED) ->
       check[T] = NONE;
       if
       :: bury[T] -> give_up(_pid, true)
       :: else -> over(_pid)
       fi }
  :: d_step { S == WAITING && cancels > 0 -> cancels--; give_up(_pid, bury[T]) }
#ifndef NO_CHECKS
  :: d_step { CHECKED(NONE) && checks > 0 -> checks--; check[T] = SENT }
  :: d_step { CHECKED(GRANTED) && timeouts > 0 -> timeouts--; check[T] = NONE }
  /* When all is quiet, a check is answered at once. One that would only be told to wait behind another is left out:
     that one's own check, or its deadline, comes first. */
  :: d_step { S == WAITING && ALL_STILL && (hold == 0 || hold == T + 1) ->
       do_check(T);
       no_waiter_stuck = answer != QUEUED || hold != 0;
       assert(no_waiter_stuck);
       if
       :: answer == GRANTED -> enter(_pid)
       :: answer == REFUSED -> over(_pid)
       :: else
       fi;
       answer = 0 }
#endif

  /* A body ends by itself, by its bound, or because it is robbed. */
  :: d_step { S == IN -> S = RELEASING; robbed[T] = false; release[T] = SENT; buries[T] = bury[T] }
  :: d_step { S == IN -> give_up(_pid, bury[T]) }
  :: d_step { S == RELEASING && release[T] == GRANTED -> release[T] = NONE; over(_pid) }
  :: d_step { S == RELEASING && release[T] == REFUSED ->
       release[T] = NONE;
#ifdef NO_RESENT_OK
       I3_release_tells_the_truth = lapsed[T];
#else
       I3_release_tells_the_truth = lapsed[T] || again[T];
#endif
       LESSER(I3_release_tells_the_truth);
       over(_pid) }
  :: d_step { S == RELEASING && timeouts > 0 -> lose_release(T) }
  :: d_step { S == RELEASING && timeouts > 0 -> lose_release(T); give_up(_pid, true) }

#if UNSUBSCRIBED
  :: d_step { deaf[_pid] && !broken[_pid] && S != DEAD -> deaf[_pid] = false }
#ifdef NO_SUBSCRIBE
  :: d_step { S == START && wait[_pid] < WAITS(_pid) && deaf[_pid] -> begin(_pid, true) }
#endif
#endif
#if UNCOUNTABLE
  :: d_step { S == START && wait[_pid] == 0 && !uncounted[_pid] -> uncounted[_pid] = true }
#endif
#if BREAKS
  :: d_step { breaks > 0 && !deaf[_pid] && wait[_pid] < WAITS(_pid) -> breaks--; deaf[_pid] = true; broken[_pid] = true; message[T] = NONE; robbed[T] = false }
  /* Subscribed again, all waits are checked. */
  :: d_step { broken[_pid] && deaf[_pid] && S != DEAD ->
       deaf[_pid] = false;
       if
       :: CHECKED(NONE) -> check[T] = SENT
       :: else
       fi }
#endif
  /* The time in which a check was to come is over: it cannot come, or it is only late. */
#if BREAKS || DEATHS
  :: d_step { !overdue[_pid] && counts[_pid] && deaf[_pid] && (broken[_pid] || S == DEAD) -> overdue[_pid] = true }
#endif
#if LATES
  :: d_step { lates > 0 && !overdue[_pid] && counts[_pid] && (deaf[_pid] || uncounted[_pid]) && S != DEAD -> lates--; overdue[_pid] = true }
#endif
#if DEATHS
  /* It vanishes: Redis sees that nobody listens, or counts a receiver on a connection that is half open. */
  :: d_step { deaths > 0 && wait[_pid] < WAITS(_pid) -> vanish(_pid) }
  :: d_step { deaths > 0 && wait[_pid] < WAITS(_pid) -> vanish(_pid); counts[_pid] = false }
#endif
  od
}
#undef S
#undef T

/* The requests of a token on their way, and what its owner does about them in the background. */
#define T (_pid - CLIENTS)
active [TOKENS] proctype network() {
end:
  do
  :: d_step { ask[T] == SENT -> do_acquire(T, joins[T]); ask[T] = answer; answer = 0; promise(T) }
  :: d_step { copies[T] > 0 -> copies[T]--; do_acquire(T, true); answer = 0; promise(T) }
#if TRIES
  :: d_step { tries[T] > 0 -> tries[T]--; do_acquire(T, false); answer = 0; promise(T) }
#endif
  :: d_step { release[T] == SENT ->
       do_release(T, buries[T]);
       if
       :: CURRENT(T) && state[OWNER(T)] == RELEASING -> release[T] = (answer == GRANTED -> GRANTED : REFUSED)
       :: else -> release[T] = NONE
       fi;
       answer = 0;
       promise(T) }
  :: d_step { releases[T] > 0 -> releases[T]--; do_release(T, false); answer = 0; promise(T) }
  :: d_step { burials[T] > 0 -> burials[T]--; do_release(T, true); answer = 0; promise(T) }
  :: d_step { check[T] == SENT ->
       do_check(T);
       check[T] = (CURRENT(T) && state[OWNER(T)] == WAITING && answer != QUEUED -> answer : NONE);
       answer = 0;
       promise(T) }

  /* Nobody waits for the answer of the acquire any more: it is given back. */
  :: d_step { left[T] && ask[T] > SENT ->
       ask[T] = NONE; left[T] = false;
#ifndef NO_GIVE_BACK
       burials[T]++;
#endif
       promise(T) }
  /* It does not come: A copy is executed within the life of a tombstone. */
  :: d_step { left[T] && ask[T] != NONE && timeouts > 0 && !crumbled[T] -> timeouts--; left[T] = false; abandon(T); ask[T] = NONE; promise(T) }
  :: d_step { tomb[T] && crumbles > 0 && left[T] && ask[T] == SENT && copies[T] + tries[T] == 0 -> crumbles--; tomb[T] = false; crumbled[T] = true }
  /* A give-up is sent until it is answered. */
  :: d_step { release[T] == SENT && !CURRENT(T) && timeouts > 0 -> lose_release(T) }

  /* The server's deadline. */
  :: d_step { hold == T + 1 && MAY_LAPSE(T) -> lapse(T) }
#if LOSSES
  :: d_step { losses > 0 && message[T] != NONE -> losses--; message[T] = NONE }
  :: d_step { losses > 0 && robbed[T] -> losses--; robbed[T] = false }
#endif
#if STEALS
  /* An acquire, or a check, of somebody who finds the hold of another stale. */
  :: d_step { steals > 0 && hold != 0 && hold != T + 1 && ask[T] == SENT && joins[T] && !tomb[T] ->
       steal(); do_acquire(T, true); ask[T] = answer; answer = 0; promise(T) }
  :: d_step { steals > 0 && hold != 0 && hold != T + 1 && check[T] == SENT ->
       steal(); do_check(T); check[T] = (CURRENT(T) && state[OWNER(T)] == WAITING && answer != QUEUED -> answer : NONE); answer = 0; promise(T) }
  :: d_step { robbed[T] && BELIEVES(T) -> give_up(OWNER(T), bury[T]) }
#endif
  od
}

/* The end: nothing can happen any more. Whoever lives has got what it wanted, or gave up, and the server is empty. */
#define THROUGH(c) (state[c] == DEAD || wait[c] == WAITS(c))
active proctype monitor() {
  timeout ->
    all_done = THROUGH(0) && THROUGH(1);
#if CLIENTS == 3
    all_done = all_done && THROUGH(2);
#endif
    assert(all_done)
}
