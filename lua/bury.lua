-- A tombstone says for a minute that a token is over: to a copy of its acquire that may still be on its way, and to the
-- owner of a hold that was broken, with a note why.
local function bury(token, note)
  local stone = get('t' .. token)
  if stone then
    if #stone == TOMBSTONE_WIDTH and note ~= '' then put('t' .. token, stone .. note) end -- a handoff that failed laid one without
    return
  end
  append(tombs, token, time16(now + TOMBSTONE) .. note)
  if fence == '' then
    fence = now
    put('f', fence)
  end
  raise(KEEP)
end
