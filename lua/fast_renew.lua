-- The fast path of a renewal of a lock that nobody waits for: the hold and the fence are all that the hash has. It shortens
-- renew.lua, with `mark`, `raise_expiry` and `store` of state.lua. EXPIREAT comes first, because memory may be short: it is
-- never refused, and neither are the writes behind it.
if fields == 2 then
  local sub = string.sub
  local got = call('HMGET', key, ARGV[1], 'f')
  local request, fence = got[1], got[2]
  if request and fence and fence >= ARGV[2] then
    local at, lease = fence, sub(request, REQUEST_LEASE)
    if sub(request, RENEWED_MARK) == '@' then
      at, lease, request = sub(request, RENEWED_AT), sub(request, RENEWED_LEASE), sub(request, RENEWED_REQUEST)
    end
    if at <= now and at + lease * 1000 > now + 0 and fence <= now and sub(request, REQUEST_KEEP) + 0 == KEEP then
      call('EXPIREAT', key, string.format('%d', sub(now, TIME_SECONDS) + KEEP))
      call('HSET', key, ARGV[1], now == fence and request or '@' .. now .. sub(request, REQUEST_LEASE) .. request)
      return now
    end
  end
end
