-- What renew and keep begin with: the hold that its owner names. The first result is nil where that is over, and the second is
-- what to answer then.
local function own_hold(token, of)
  load(token)
  local searching, hold = expire(), live(token)
  if hold and hold.fence >= of then
    if hold.state ~= 'r' then return hold end
    store()
    return nil, {'revoked', now, ''}
  end
  local last = fence              -- before this script grants
  hand_over(searching)
  store()
  local tombstone = get('t' .. token)
  if tombstone and #tombstone > TOMBSTONE_WIDTH then return nil, {'revoked', now, sub(tombstone, TOMBSTONE_NOTE)} end
  return nil, {'gone', now, last}
end
