-- A tombstone says for a minute that a token has ended. A late copy of the token's acquire finds it, and so does the owner of
-- a hold that was broken, with a note that says why.
local function lay_tombstone(token, note)
  local tombstone = get('t' .. token)
  if tombstone then
    if #tombstone > TOMBSTONE_WIDTH or note == '' then return end
    remove(tombstones, token) -- a handoff that failed laid one without a reason: the reason stands for a minute from now
  end
  append(tombstones, token, time16(now + TOMBSTONE_LIFE) .. note)
  if fence == '' then
    fence = now
    put('f', fence)
  end
  raise_expiry(KEEP)
end
