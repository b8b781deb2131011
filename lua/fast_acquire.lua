-- The fast path of an acquire of a free lock: the hash has only its fence, or nothing. It shortens `grant` of rules.lua, and
-- `store` of state.lua for a hold in its short form. HLEN alone tells an idle lock from every other, so an idle lock pays
-- nothing for the fast paths below.
if fields == 1 then               -- only the fence: nobody holds, nobody waits
  local last = call('HGET', key, 'f')
  if last and last < now and last > string.sub(now, TIME_HUNDREDS) then -- within the same 100 s the expiry was set (`raise_expiry`)
    local wish = ARGV[6]
    if wish and last < wish and wish < now and now - wish < WISH_AGE then
      call('HSET', key, 'f', wish, ARGV[1], '@' .. now .. string.sub(ARGV[2], REQUEST_LEASE) .. ARGV[2])
      return wish .. now
    end
    call('HSET', key, 'f', now, ARGV[1], ARGV[2])
    return now
  end
elseif fields == 0 then           -- a name that is new, or was forgotten
  call('HSET', key, 'f', now, ARGV[1], ARGV[2])
  call('EXPIRE', key, KEEP_TEXT)
  return now
end
