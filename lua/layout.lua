-- The layout of the values in a lock's hash and in what is sent. It is given here once, and the scripts name it: the loader
-- (load.go) puts the numbers in the place of the names, so that a name costs the server nothing.
--
-- "--: RECORD field8 field16 rest" says which fields a value has, in their order, with their widths; only the last may
-- have any length. In a script
--   RECORD_FIELD     is where the field is, for string.sub: "9, 24"; of one of any length, where it begins: "25"
--   RECORD_FIELD_ON  is where it begins, for all from there to the end
--   RECORD_WIDTH     is how long all that have a width are together
-- A field without a width that is called as an earlier record is such a record, and has its names, counted from here:
-- HOLD_REQUEST_CHANNEL.
-- "--= NAME text" is any other text.

-- Times are 16 digits of server µs. Leases and claims are in ms, 8 characters with blanks in front: not zeros, for some
-- servers read those as octal. Only digits are ever compared as text, for the locale orders the rest.
--= TIME_WIDTH     16
--= TIME_FORMAT    '%016.0f'
--= TIME_SECONDS   1, 10
--= TIME_HUNDREDS  1, 8
--= MICROS_WIDTH   6
--= LEASE_FORMAT   '%8d'
--= TOKEN_WIDTH    22

-- What a caller asks for, carried from its acquire to its hold. Lease in ms; keep in s, how long the key outlives a grant;
-- the nonce of a message that takes the hold away; wait: 'c' join the queue, 's' likewise for a Client that hears of a
-- grant by the shard's channel, 'u' for one whose receivers cannot be counted, '-' do not wait. From the channel on it is
-- lines: the Client's wake channel; the mode (modes.lua); and who it is, which no script looks into.
--: REQUEST    lease8 keep8 nonce16 wait1 channel

-- A list is doubly linked: a field says where it begins and ends, and each node is a field of its own, which begins with
-- the tokens of its neighbours.
--: LIST       head22 tail22 length
--: LINKS      previous22 next22
--: NODE       links body
--: HOLD       links since16 fence16 at16 lease8 state1 request
--: PLACE      links ticket16 request
--: TOMBSTONE  links until16 note

-- A hold in its short form is a request, or this, once it was renewed; the mark is '@'.
--: RENEWED    mark1 at16 lease8 request

-- A Client that has places in the queue: when it was heard of, how it waits, as in a request, and how many they are.
--: CLIENT     seen16 wait1 places

-- The modes in use (modes.lua).
--: SUMMARY    bound16 latest16 least16 cursor22 classes

-- The token of a change of mode begins with the number of the change; the record of a lock, with who wrote it (record.lua).
--: CHANGE     number10
--: RECORD     fence16 step1
