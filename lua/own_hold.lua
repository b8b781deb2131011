-- The beginning of renew and keep: the hold that its owner names. If that hold is over, the first result is nil, and the
-- second is the answer.
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
