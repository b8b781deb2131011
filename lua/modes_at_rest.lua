-- The fast paths for other modes than the exclusive one need this of `modes`, the summary: whether it is sure that no hold
-- has ended, none is searched and none is revoked; and the classes in use, in parallel lists.
local rest = sub(modes, SUMMARY_BOUND) > now and sub(modes, SUMMARY_LATEST) <= now and sub(modes, SUMMARY_CURSOR) == NONE
  and sub(modes, SUMMARY_NEXT) <= now and sub(modes, -1) == '\n'
local counts, weights, classes, n, at = {nil, nil}, {nil, nil}, {nil, nil}, 0, SUMMARY_CLASSES
while rest and at <= #modes do
  local weight = find(modes, ' ', at, true) + 1
  local class = find(modes, ' ', weight, true) + 1
  local ends = find(modes, '\n', class, true)
  n = n + 1
  counts[n] = sub(modes, at, weight - 2) + 0
  weights[n] = sub(modes, weight, class - 2) + 0
  classes[n] = sub(modes, class, ends - 1)
  at = ends + 1
end
