-- The layout of a lock's hash, and of requests and messages. Offsets and widths are given here once, and the scripts use
-- their names. The loader (load.go) replaces the names by the numbers, so a name costs the server nothing.
--
-- "--: RECORD field8 field16 rest" gives the fields of a value in their order, with their widths. Only the last field may
-- have any length. In a script
--   RECORD_FIELD     is where the field is, for string.sub: "9, 24"; of one of any length, where it begins: "25"
--   RECORD_FIELD_ON  is where it begins, for all from there to the end
--   RECORD_WIDTH     is how long all that have a width are together
-- A field without a width that is called as an earlier record is such a record, and has its names, counted from here:
-- HOLD_REQUEST_CHANNEL.
-- "--= NAME text" is any other text.
--
-- The fields of the hash:
--   f           the last fence, a time
--   e           the second at which the key expires; only if that is not KEEP after the fence's 100 s (see `raise_expiry`)
--   <token>     the hold of a lock whose hash holds nothing else, in its short form: REQUEST, or RENEWED
--   s           any other holds, in the order of their grants: LIST    h<token>    one of them: HOLD
--   q           the queue: LIST                                        w<token>    a place in it: PLACE
--   t           the tombstones: LIST                                   t<token>    one of them: TOMBSTONE
--   c<channel>  a Client that has places in the queue: CLIENT
--   l           the limit of the lock's holds: LIMIT; only if one was set (limit.lua)
--   v           a Client watches: the next change removes this field, and is published on the channel of the lock's changes
--   m           the modes in use, if not all are exclusive: SUMMARY

-- The fields that a script with the rules reads first about a lock and a token, in this order; then the token's hold in its
-- short form. A fast path that needs some of them reads all, so that the rules need not read them again.
--= LOADED       'f', 'e', 'm', 's', 'q', 't', 'v', 'h' .. token, 'w' .. token, 't' .. token

-- Times are 16 digits of server µs. Leases and claims are in ms, 8 characters with blanks in front: not zeros, because some
-- servers read leading zeros as octal. Only digits are compared as text, because the order of other characters depends on the
-- locale. A fence that a quorum proposes is at most WISH_AGE µs old (acquire.lua).
--= TIME_WIDTH     16
--= TIME_FORMAT    '%016.0f'
--= TIME_SECONDS   1, 10
--= TIME_HUNDREDS  1, 8
--= MICROS_WIDTH   6
--= LEASE_FORMAT   '%8d'
--= TOKEN_WIDTH    22
--= WISH_AGE       1000000

-- How many s a key outlives its last grant, unless a Client asks for another retention; and the same as a text, because the
-- server would format a number each time.
--= KEEP           4600
--= KEEP_TEXT      '4600'

-- The numbers of the rules. CLAIM: for how many ms a hold that was granted by message waits for its owner; CLAIM_TEXT is the
-- same as a lease. In µs: UNSEEN, three checks: a Client that was not seen for longer has lost its places. CHECKED: one
-- check, and the time that it may be late; a live waiter checks within it. TOMBSTONE_LIFE: how long a tombstone stays. A
-- script tries at most HAND_OVER candidates, or grants to half as many; looks at SCAN holds; and clears away TRIM dead
-- entries. At most CLASSES different modes are in use on one lock. FAR is a time that never comes. EPOCH is a time before all
-- others: the ticket of a hold that waits to change its mode, because it goes first.
--= CLAIM          5000
--= CLAIM_TEXT     '    5000'
--= UNSEEN         7000000
--= CHECKED        2500000
--= TOMBSTONE_LIFE 60000000
--= HAND_OVER      32
--= SCAN           32
--= TRIM           8
--= CLASSES        32
--= FAR            '9999999999999999'
--= EPOCH          '0000000000000000'

-- What a caller asks for, carried from its acquire to its hold:
--   lease    in ms
--   keep     how many s the key outlives a grant
--   nonce    the message that takes the hold away must have it. It begins with TURNS if the owner may grant the lock again
--            to others of its process (docs/protocol.md, "Turns"). Such an owner is told of waiters that join the queue
--   wait     'c' join the queue; 's' the same for a Client that gets grants on the shard's channel; 'u' the same for a Client
--            whose receivers cannot be counted; '-' do not wait
--   channel  the wake channel of the Client; then '\n' mode '\n' info. Info describes the caller; no script looks into it
--   mode     empty: exclusive. Else weight ' ' class [' ' token]. In a place the token names the hold that is to change
--            into this mode when its turn comes. In a hold it names the last change of mode
--   class    capacity ' ' name ' ' rules. The capacity is the most weight that holds of that name may have together, this one
--            included, 0 for no such bound. The rules are 'key=most,…' or '-', where '*' is any number. A key is the name of a
--            mode, or has marks in front: '~' the rule was added; '^' it applies at the grant only; '+' before each of
--            several modes (modes.lua)
--: REQUEST    lease8 keep8 nonce16 wait1 channel
--= TURNS      '~'

-- A list is doubly linked. LIST says where it begins and ends. Each node begins with the tokens of its neighbours. The
-- `previous` of the first node is never read.
--: LIST       head22 tail22 length
--: LINKS      previous22 next22
--: NODE       links body
--= NONE       '----------------------'

-- A hold ends at `at` + lease. A renewal moves `at`. `since` stays, and says how old the hold is. The state is '-' held; 'r'
-- revoked: renewals are refused; 'k' kept until its deadline, without an owner.
--: HOLD       links since16 fence16 at16 lease8 state1 request
--: PLACE      links ticket16 request
--: TOMBSTONE  links until16 note

-- The short form of a hold is for speed: if nobody waits, the release is one HDEL of the token. If there is more to do, that
-- HDEL finds no field. The short form is a request; once the hold was renewed, it is RENEWED, with the mark '@'. There are
-- two forms, because one alone costs more: with `at` and `lease` in front from the start an idle pair takes 6 to 9 % longer,
-- and with the long form after a renewal a release takes 26 µs instead of 2.
--: RENEWED    mark1 at16 lease8 request

-- A Client that has places in the queue: when it was last seen, how it waits (as in a request), and how many places it has.
--: CLIENT     seen16 wait1 places

-- The modes in use. `bound`: no hold ends before it. `latest`: no hold begins after it. `least` and `cursor`: how far a search for
-- ended holds has come, or where it stands. `next`: no search begins or goes on before it; EPOCH while a search must look at all
-- holds (see `expire`). The classes are lines of count ' ' held ' ' class: how many holds and places the class has, and the weight
-- of its holds. Behind them `fresh`, or nothing: all holds before it are revoked or kept, so the search for the oldest hold that is
-- neither begins there (contention.lua).
--: SUMMARY    bound16 latest16 least16 cursor22 next16 classes

-- The limit of a lock: its end; its version, which rises; for how long it was set; and keys as those of a mode's rules (above),
-- each with "+" in front, with the number of units that these modes may have together; '-' for none.
--: LIMIT      until16 version16 long16 rules

-- The token of a change of mode begins with the number of the change, so a change that comes after a later one is known to be
-- late. A fence cannot replace the number (docs/protocol.md, "What breaks without a rule"). RECORD is the record of a lock,
-- with its writer (record.lua).
--: CHANGE     number10
--: RECORD     fence16 step1
