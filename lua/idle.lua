-- The idle path of acquire. HLEN alone tells an idle lock from every other, so what is below costs it nothing.
if fields == 1 then                                  -- only the fence: nobody holds, nobody waits
  local last = call('HGET', key, 'f')
  if last and last < now and last > string.sub(now, TIME_HUNDREDS) then -- and within these 100 s the expiry was set (shared.lua)
    call('HSET', key, 'f', now, ARGV[1], ARGV[2])
    return now
  end
elseif fields == 0 then                              -- a name that is new, or was forgotten
  call('HSET', key, 'f', now, ARGV[1], ARGV[2])
  call('EXPIRE', key, '4600')
  return now
end
