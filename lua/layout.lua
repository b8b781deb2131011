-- The layout of a lock's hash, and of what is sent. Offsets and widths are given here once, and the scripts name them: the
-- loader (load.go) puts the numbers in the place of the names, so that a name costs the server nothing.
--
-- "--: RECORD field8 field16 rest" says which fields a value has, in their order, with their widths; only the last may
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
--   e           the second at which the key expires; only where that is not KEEP after the fence's 100 s (see `raise_expiry`)
--   <token>     the hold of a lock whose hash holds nothing else, in its short form: REQUEST, or RENEWED
--   s           any other holds, in the order of their grants: LIST    h<token>    one of them: HOLD
--   q           the queue: LIST                                        w<token>    a place in it: PLACE
--   t           the tombstones: LIST                                   t<token>    one of them: TOMBSTONE
--   c<channel>  a Client that has places in the queue: CLIENT
--   l           what the lock's holds are limited to, whoever asks: LIMIT; only where that was set (limit.lua)
--   v           somebody watches: the next change removes this, and is published to all Clients of the prefix
--   m           the modes in use, where not all is exclusive: SUMMARY

-- What a script with the rules reads first about a lock and a token, in this order; then the token's hold in its short form. A fast
-- path in front of the rules that needs some of it reads all, so that it need not be read again.
--= LOADED       'f', 'e', 'm', 's', 'q', 't', 'v', 'h' .. token, 'w' .. token, 't' .. token

-- Times are 16 digits of server µs. Leases and claims are in ms, 8 characters with blanks in front: not zeros, for some
-- servers read those as octal. Only digits are ever compared as text, for the locale orders the rest. A fence that a quorum would
-- like is at most WISH_AGE µs old (acquire.lua).
--= TIME_WIDTH     16
--= TIME_FORMAT    '%016.0f'
--= TIME_SECONDS   1, 10
--= TIME_HUNDREDS  1, 8
--= MICROS_WIDTH   6
--= LEASE_FORMAT   '%8d'
--= TOKEN_WIDTH    22
--= WISH_AGE       1000000

-- How many s a key outlives its last grant, unless a Client asks for another retention; and the same as an argument of a
-- command, for the server would format a number each time.
--= KEEP           4600
--= KEEP_TEXT      '4600'

-- The numbers of the rules. CLAIM is for how many ms a hold that was granted by message waits for its owner, CLAIM_TEXT the
-- same as a lease. In µs: a Client that is silent for longer than UNSEEN, three checks, has lost its places; CHECKED is one
-- check and what it may be late, within which a waiter that lives is heard of; a tombstone stands for TOMBSTONE_LIFE. A script
-- tries at most HAND_OVER candidates, or grants to half as many; looks at SCAN holds; clears away TRIM leftovers in passing. At
-- most CLASSES different modes are in use on one lock. FAR is a time that never comes, EPOCH one before all others: the ticket
-- of a hold that waits to change its mode, for it goes first.
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
--   nonce    that of a message which takes the hold away. It begins with TURNS where the owner may grant the lock again by
--            itself, to others of its process (docs/protocol.md, "Turns"), and is told who joins the queue
--   wait     'c' join the queue; 's' likewise, for a Client that hears of a grant by the shard's channel; 'u' for one whose
--            receivers cannot be counted; '-' do not wait
--   channel  the wake channel of the Client; then '\n' mode '\n' info. Info is who it is; no script looks into it
--   mode     empty: exclusive. Else weight ' ' class [' ' token]. In a place the token is that of the hold which is to
--            change into this mode when its turn comes; in a hold, that of the last change of its mode
--   class    capacity ' ' name ' ' rules. The capacity is the most weight of that name that may be held beside it, itself
--            included, 0 for no such bound; the rules are 'key=most,…' or '-', where '*' is any number. A key is the name of a mode, or has marks in
--            front: '~' the rule was added, '^' it is asked at the grant only, '+' before each of several modes (modes.lua)
--: REQUEST    lease8 keep8 nonce16 wait1 channel
--= TURNS      '~'

-- A list is doubly linked. LIST says where it begins and ends. Each node begins with the tokens of its neighbours; the
-- first one's `previous` is never read.
--: LIST       head22 tail22 length
--: LINKS      previous22 next22
--: NODE       links body
--= NONE       '----------------------'

-- A hold ends at `at` + lease. A renewal moves `at`; `since` stays, it says how old the hold is. The state is '-' held, 'r'
-- revoked: renewals are refused, 'k' kept until its deadline by nobody.
--: HOLD       links since16 fence16 at16 lease8 state1 request
--: PLACE      links ticket16 request
--: TOMBSTONE  links until16 note

-- The short form of a hold is for speed: the release of a lock that nobody waits for is one HDEL of the token, and that
-- finds nothing as soon as there is more to do. It is a request; once the hold was renewed, it is this, and the mark is '@'. Two
-- forms, for the other ways cost more: `at` and `lease` in front from the start are 6 to 9 % of an idle pair, and the long form
-- after a renewal is a release of 26 µs instead of 2.
--: RENEWED    mark1 at16 lease8 request

-- A Client that has places in the queue: when it was last seen, how it waits, as in a request, and how many they are.
--: CLIENT     seen16 wait1 places

-- The modes in use. `bound`: no hold ends before it. `latest`: none begins after it. `least` and `cursor`: how far a search
-- for those that ended has come, or where it stands. `next`: none begins before it, or goes on; EPOCH while one must look at all
-- (see `expire`). The classes are lines of count ' ' held ' ' class: how many holds and places it has, and the weight of its holds. Behind them `fresh`, or nothing: all holds before it are revoked or kept, so
-- the search for the oldest that is held begins there (contention.lua).
--: SUMMARY    bound16 latest16 least16 cursor22 next16 classes

-- The limit of a lock: until when it stands, its version, which rises, for how long it was set, and keys as those of a mode's
-- rules (above), each with "+" in front, and how many units those may have together; '-' for none.
--: LIMIT      until16 version16 long16 rules

-- The token of a change of mode begins with the number of the change, so that what comes after a later one is late. The fence would
-- not do in its place (docs/protocol.md, "What breaks without a rule"). The record of a lock with who wrote it (record.lua).
--: CHANGE     number10
--: RECORD     fence16 step1
