/* The order of the queue, and of the fences, over the loss of all data. Waiters join; FLUSHALL takes everything away;
 * who had a place finds it gone, and comes back with its old ticket, under a new token.
 *
 * A tick of the clock lies between most requests: no more than two join, and one is granted, within one.
 *
 *   NO_CLOCK_TICKETS  tickets are counted from 1, and a place is known by its ticket
 *   NO_CLOCK_FENCES   fences are counted from 1
 */

#define WAITERS 3
#define TICKS 6

byte clock = 1, joined, granted;        /* how many, within this tick */
byte arrived[WAITERS];                  /* true time of the first joining; 0: not yet */
byte ticket[WAITERS];
bool waits[WAITERS];                    /* it believes that it has a place */
bool returns[WAITERS];                  /* its place was lost, and it has not noticed */
byte queue[WAITERS];                    /* waiter + 1 */
byte length, last, greatest;            /* last: the fence in the hash; greatest: of all grants */
bool flushed;

hidden byte i, j, t, present;
hidden byte I2_fences_rise, I5_order_of_arrival, no_place_is_lost;

inline insert(w) {
  i = 0;
#ifdef NO_CLOCK_TICKETS
  do                                    /* the place of that ticket, whoever has it */
  :: i < length && ticket[queue[i] - 1] < ticket[w] -> i++
  :: else -> break
  od;
  if
  :: i < length && ticket[queue[i] - 1] == ticket[w] -> queue[i] = w + 1
  :: else ->
#else
  do                                    /* behind those that have it, too */
  :: i < length && ticket[queue[i] - 1] <= ticket[w] -> i++
  :: else -> break
  od;
  if
  :: true ->
#endif
     j = length;
     do
     :: j > i -> queue[j] = queue[j - 1]; j--
     :: else -> break
     od;
     queue[i] = w + 1; length++
  fi;
  i = 0; j = 0;
  promise()
}

/* Whoever has a place is in the queue, before those who came in a later tick, but for those with its very ticket. */
inline promise() {
  no_place_is_lost = true; I5_order_of_arrival = true;
  i = 0;
  do
  :: i < WAITERS ->
     present = false; j = 0;
     do
     :: j < length ->
        present = present || queue[j] == i + 1;
        I5_order_of_arrival = I5_order_of_arrival &&
          (j == 0 || arrived[queue[j - 1] - 1] <= arrived[queue[j] - 1] || ticket[queue[j - 1] - 1] == ticket[queue[j] - 1]);
        j++
     :: else -> break
     od;
     no_place_is_lost = no_place_is_lost && (present || !waits[i] || returns[i]);
     i++
  :: else -> break
  od;
  assert(no_place_is_lost);
  assert(I5_order_of_arrival);
  i = 0; j = 0; present = 0
}

active [WAITERS] proctype waiter() {
end:
  do
  :: d_step { arrived[_pid] == 0 && joined < 2 ->
       joined++; arrived[_pid] = clock;
       t = (length > 0 -> ticket[queue[length - 1] - 1] + 1 : 1);
#ifndef NO_CLOCK_TICKETS
       t = (t < clock -> clock : t);
#endif
       ticket[_pid] = t; waits[_pid] = true; t = 0;
       insert(_pid) }
  :: d_step { returns[_pid] -> returns[_pid] = false; insert(_pid) }
  od
}

active proctype server() {
end:
  do
  :: d_step { clock < TICKS -> clock++; joined = 0; granted = 0 }
  :: d_step { !flushed -> 
       flushed = true; length = 0; last = 0; i = 0;
       do
       :: i < WAITERS -> returns[i] = waits[i]; queue[i] = 0; i++
       :: else -> break
       od;
       i = 0 }
  :: d_step { length > 0 && granted == 0 ->
       granted = 1;
       waits[queue[0] - 1] = false;
       i = 0;
       do
       :: i + 1 < length -> queue[i] = queue[i + 1]; i++
       :: else -> break
       od;
       length--; queue[length] = 0; i = 0;
#ifdef NO_CLOCK_FENCES
       last++;
#else
       last = (last < clock -> clock : last + 1);
#endif
       I2_fences_rise = last > greatest;
       assert(I2_fences_rise);
       greatest = last }
  od
}
