-- Which holds may stand beside each other. A mode is data: a name, and rules, each about the most holds of some modes that it
-- tolerates. The server knows no mode by name. An exclusive lock says nothing, tolerates nobody, and is not counted.

local EXCLUSIVE = {class = '', weight = 1}
local CLASSES = 32                -- different ones in use on one lock at a time
local FAR = '9999999999999999'
local LATE = 60000000             -- µs: how late a copy of a request for a limit is still heeded

local known = {['\n\n'] = EXCLUSIVE}
local function mode_of(record, from) -- of a request that begins at `from` in a record
  local line = match(record, '\n[^\n]*\n', from + REQUEST_WIDTH)
  local mode = known[line]
  if not mode then
    local weight, class, capacity, name, rules, of = match(line, '^\n(%d+) ((%d+) (%S+) (%S+)) ?(%S*)\n$')
    mode = {weight = weight + 0, class = class, capacity = capacity + 0, name = name, rules = rules, of = of ~= '' and of}
    known[line] = mode
  end
  return mode
end

-- The most holds of a mode, by its name, beside which this one may be; and the rules that are not about one mode and nothing
-- else, if there are any: a sum over several, or one that is asked at the grant only (layout.lua).
local function rules_of(mode)
  if mode.limits then return mode.limits, mode.sums end
  local limits, sums = {}, nil
  for key, most in gmatch(mode.rules, '([^=,]+)=([^,]+)') do
    most = most == '*' and 1e9 or most + 0
    if find(key, '^[~^+]') then
      sums = sums or {}
      sums[#sums + 1] = {key = key, most = most, at_grant = find(key, '%^')}
    else
      limits[key] = most
    end
  end
  for _, sum in ipairs(sums or {}) do
    sum.names = {}
    for name in gmatch(sum.key, '[^~^+]+') do
      sum.names[#sum.names + 1] = name
      limits[name] = limits[name] or 1e9
    end
  end
  mode.limits, mode.sums = limits, sums
  return limits, sums
end

-- The summary: what is in use, by holds and by places, so that a grant needs no look at single holds; and what is
-- known of their deadlines. nil while all is exclusive.
local summary

local function summarize()
  summary = {classes = {}, different = 0, bound = FAR, latest = now, next = now, changed = true}
  return summary
end

local function load_summary(text)
  summarize()
  summary.bound, summary.latest, summary.least = sub(text, SUMMARY_BOUND), sub(text, SUMMARY_LATEST), sub(text, SUMMARY_LEAST)
  summary.cursor = sub(text, SUMMARY_CURSOR) ~= NONE and sub(text, SUMMARY_CURSOR) or nil
  summary.next = sub(text, SUMMARY_NEXT)
  summary.fresh = match(text, '\n(%S+)$')
  for count, weight, class, capacity, name, rules in gmatch(sub(text, SUMMARY_CLASSES), '(%d+) (%d+) ((%d+) (%S+) (%S+))\n') do
    summary.classes[class] = {count = count + 0, held = weight + 0, class = class, capacity = capacity + 0, name = name, rules = rules}
    summary.different = summary.different + 1
  end
  summary.changed = false
end

local function summary_text()
  local text = {summary.bound .. summary.latest .. (summary.least or FAR) .. (summary.cursor or NONE) .. summary.next}
  for class, entry in pairs(summary.classes) do
    text[#text + 1] = entry.count .. ' ' .. format('%d', entry.held) .. ' ' .. class .. '\n'
  end
  text[#text + 1] = summary.fresh
  return table.concat(text)
end

-- `count` holds and places more of a mode, `weight` more of it held.
local function count(mode, number, weight)
  if mode.class == '' then return end
  local classes = (summary or summarize()).classes
  local entry = classes[mode.class]
  if not entry then
    entry = {count = 0, held = 0, class = mode.class, capacity = mode.capacity, name = mode.name, rules = mode.rules}
    classes[mode.class] = entry
    summary.different = summary.different + 1
  end
  entry.count, entry.held = entry.count + number, entry.held + weight
  if entry.count == 0 then
    classes[mode.class] = nil
    summary.different = summary.different - 1
  end
  summary.changed = true
end

-- Another use of the same name with rules about other modes: its rules, or nil. How many of them the rules tolerate, and which rules
-- were added, need not be the same.
local function clash(mode)
  if not summary or mode.class == '' then return nil end
  local function named_by(rules)
    local gsub = string.gsub
    return rules ~= '-' and gsub(gsub(gsub(',' .. rules, '=[^,]*', ''), ',~[^,]*', ''), ',%+', ',') or ''
  end
  for _, entry in pairs(summary.classes) do
    if entry.name == mode.name and entry.rules ~= mode.rules and named_by(entry.rules) ~= named_by(mode.rules) then return entry.rules end
  end
  if summary.different >= CLASSES and not summary.classes[mode.class] then return '' end
  return nil
end

-- Whether what is held, by name, is tolerated by the rules of a mode, or by the limit of a lock, which has no name and tolerates
-- what it does not name. A mode's rules about its grant are only asked of the one that is granted.
local function tolerates(mode, held, granted)
  local limits, sums = rules_of(mode)
  for name, weight in pairs(held) do
    if weight - (name == mode.name and 1 or 0) > (limits[name] or mode.name and 0 or weight) then return false end
  end
  for _, sum in ipairs(sums or {}) do
    local beside = 0
    for _, name in ipairs(sum.names) do beside = beside + (held[name] or 0) - (name == mode.name and 1 or 0) end
    if beside > sum.most and (granted or not sum.at_grant) then return false end
  end
  return true
end

-- What a lock is limited to, in the form of a mode, or false. Its version is kept for as long as a copy of an earlier request may
-- come.
local limit
local function limited()
  if limit == nil then
    local text = get('l')
    limit = text and sub(text, LIMIT_UNTIL) > now and {rules = sub(text, LIMIT_RULES)}
    if text and now - sub(text, LIMIT_UNTIL) >= LATE and now - sub(text, LIMIT_VERSION) >= LATE then put('l', false) end
  end
  return limit
end

-- I1: may a hold of this mode be added to `holders` others, in place of a hold of mode `own` if that is given? Yes if
-- then each mode tolerates every other, and itself, in the numbers there would be: a hold of weight k counts as k
-- holds. A hold that changes its mode is not asked by the limit of the lock: it has the lock already.
local function fits(mode, holders, own)
  local alone = holders == (own and 1 or 0)
  if mode.class == '' then return alone end
  local limit = not own and limited()
  if alone and not limit then return true end
  if not alone and not summary then return false end
  local held, present = {}, {mode}
  for class, entry in pairs(summary and summary.classes or {}) do
    local weight = entry.held - (own and own.class == class and own.weight or 0)
    if weight > 0 then
      held[entry.name] = (held[entry.name] or 0) + weight
      present[#present + 1] = entry
    end
  end
  if #present == 1 and not alone then return false end -- what is held is exclusive
  held[mode.name] = (held[mode.name] or 0) + mode.weight
  if limit and not tolerates(limit, held) then return false end
  if alone then return true end
  for _, each in ipairs(present) do
    if each.capacity > 0 and held[each.name] > each.capacity then return false end
    if not tolerates(each, held, each == mode) then return false end
  end
  return true
end
