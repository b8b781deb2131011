-- Which holds may stand beside each other. A mode is data: a name and rules. Each rule is the most holds of some modes that
-- it tolerates. The scripts know no mode by name. An exclusive lock has neither name nor rules, tolerates nobody, and is not
-- counted.
--@ layer
local EXCLUSIVE = {class = '', weight = 1}

local LATE = 60000000             -- µs: how late a copy of a request for a limit is still heeded

local known = {[''] = EXCLUSIVE}
local function mode_of(record, from) -- of a request that begins at `from` in a record
  local start = find(record, '\n', from + REQUEST_WIDTH, true) + 1
  local line = sub(record, start, find(record, '\n', start, true) - 1)
  local mode = known[line]
  if not mode then
    local weight, class, of = match(line, '^(%d+) (%S+ %S+ %S+) ?(%S*)$')
    mode = {weight = weight + 0, class = class, of = of ~= '' and of}
    known[line] = mode
  end
  return mode
end

local function alone_by_rule(mode) -- it tolerates nobody, as the text alone tells
  return mode.class == '' or sub(mode.class, -2) == ' -'
end

local meanings = {}
local function meaning(class)
  local means = meanings[class]
  if not means then
    local capacity, name, rules = match(class, '^(%d+) (%S+) (%S+)$')
    means = {capacity = capacity + 0, name = name, rules = rules, limits = nil, sums = nil}
    meanings[class] = means
  end
  return means
end

-- The most holds of each mode, by its name, beside which this one may stand. The second result is the other rules, or nil:
-- sums over several modes, and rules that apply at the grant only (layout.lua).
local function rules_of(means)
  if means.limits then return means.limits, means.sums end
  local limits, sums = {}, nil
  for key, most in gmatch(means.rules, '([^=,]+)=([^,]+)') do
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
  means.limits, means.sums = limits, sums
  return limits, sums
end

-- The summary has the modes in use, by holds and by places, so that a grant does not look at single holds; and bounds of
-- their deadlines. It is nil while all modes are exclusive. `classes` has an entry for each class, in the order in which they
-- came into use, and by its text. A class with the count 0 is not in use any more.
local summary

local function add_class(class, number, weight)
  local classes, entry = summary.classes, {count = number, held = weight, class = class}
  classes[#classes + 1] = entry
  classes[class] = entry
  return entry
end

local function load_summary(text)
  local cursor, at = sub(text, SUMMARY_CURSOR), SUMMARY_CLASSES
  summary = {
    classes = {nil, nil}, different = 0, changed = false, bound = sub(text, SUMMARY_BOUND), latest = sub(text, SUMMARY_LATEST),
    least = sub(text, SUMMARY_LEAST), cursor = cursor ~= NONE and cursor or nil, next = sub(text, SUMMARY_NEXT), fresh = nil,
  }
  while true do
    local ends = find(text, '\n', at, true)
    if not ends then break end
    local held = find(text, ' ', at, true) + 1
    local class = find(text, ' ', held, true) + 1
    add_class(sub(text, class, ends - 1), sub(text, at, held - 2) + 0, sub(text, held, class - 2) + 0)
    summary.different, at = summary.different + 1, ends + 1
  end
  if at <= #text then summary.fresh = sub(text, at) end
end

local function summary_text()
  local text = summary.bound .. summary.latest .. (summary.least or FAR) .. (summary.cursor or NONE) .. summary.next
  for _, entry in ipairs(summary.classes) do
    if entry.count > 0 then text = text .. entry.count .. ' ' .. format('%d', entry.held) .. ' ' .. entry.class .. '\n' end
  end
  return summary.fresh and text .. summary.fresh or text
end

-- Counts more (or fewer) holds and places of a mode, and more (or less) weight of its holds.
local function count(mode, number, weight)
  if mode == EXCLUSIVE then return end
  summary = summary or {classes = {}, different = 0, bound = FAR, latest = now, next = now}
  local entry = summary.classes[mode.class] or add_class(mode.class, 0, 0)
  local before = entry.count
  entry.count, entry.held, summary.changed = before + number, entry.held + weight, true
  if before == 0 then
    summary.different = summary.different + 1
  elseif entry.count == 0 then
    summary.different = summary.different - 1
  end
end

-- The rules of another use of the same name that name other modes, or nil. The numbers in the rules, and added rules, may
-- differ.
local function clash(mode)
  if not summary or mode == EXCLUSIVE then return nil end
  local own = meaning(mode.class)
  local function named_by(rules)
    local gsub = string.gsub
    return rules ~= '-' and gsub(gsub(gsub(',' .. rules, '=[^,]*', ''), ',~[^,]*', ''), ',%+', ',') or ''
  end
  for _, entry in ipairs(summary.classes) do
    if entry.class ~= mode.class and entry.count > 0 then
      local other = meaning(entry.class)
      if other.name == own.name and other.rules ~= own.rules and named_by(other.rules) ~= named_by(own.rules) then return other.rules end
    end
  end
  local entry = summary.classes[mode.class]
  return summary.different >= CLASSES and not (entry and entry.count > 0) and '' or nil
end

-- How much of the holds, by name, is too much for the rules of a mode, or for the limit of a lock, which has no name and tolerates
-- modes that it does not name: 0 if they are tolerated. Rules that apply at the grant count only for the mode that is granted.
local function beyond(means, held, granted)
  local limits, sums = rules_of(means)
  local own, over = means.name, 0
  for name, weight in pairs(held) do
    local more = weight - (name == own and 1 or 0) - (limits[name] or own and 0 or weight)
    if more > 0 then over = over + more end
  end
  for _, sum in ipairs(sums or {}) do
    local more = -sum.most
    for _, name in ipairs(sum.names) do more = more + (held[name] or 0) - (name == own and 1 or 0) end
    if more > 0 and (granted or not sum.at_grant) then over = over + more end
  end
  return over
end

-- The limit of the lock, in the form of a mode, or false. Its version is kept as long as a copy of an earlier request may
-- come.
local limit
local function limited()
  if limit == nil then
    local text = get('l')
    local longest = text and time16(now + tonumber(sub(text, LIMIT_LONG), 10))
    if text and sub(text, LIMIT_UNTIL) > longest then -- set before the clock went back: anchored anew, as a hold is
      text = longest .. sub(text, LIMIT_VERSION_ON)
      put('l', text)
    end
    limit = text and sub(text, LIMIT_UNTIL) > now and {rules = sub(text, LIMIT_RULES)}
    if text and now - sub(text, LIMIT_UNTIL) >= LATE and now - sub(text, LIMIT_VERSION) >= LATE then put('l', false) end
  end
  return limit
end

-- I1: whether a hold of this mode may be added to `holders` others, in place of a hold of mode `own` if that is given. It may
-- if each mode tolerates every other, and itself, in the resulting numbers. A hold of weight k counts as k holds. The limit
-- of the lock does not apply to a hold that changes its mode: it has the lock already. `barred` is true if the last that did not
-- fit is more than the limit allows.
local barred
local function fits(mode, holders, own)
  barred = false
  local alone = holders == (own and 1 or 0)
  if mode == EXCLUSIVE then return alone end
  local limit = not own and limited()
  if alone and not limit then return true end
  if not alone and (not summary or alone_by_rule(mode)) then return false end
  local added = meaning(mode.class)
  local held, present = {}, {added}
  for _, entry in ipairs(summary and summary.classes or {}) do
    local weight = entry.held - (own and own.class == entry.class and own.weight or 0)
    if weight > 0 then
      if alone_by_rule(entry) then return false end
      local means = meaning(entry.class)
      held[means.name] = (held[means.name] or 0) + weight
      present[#present + 1] = means
    end
  end
  if #present == 1 and not alone then return false end -- what is held is exclusive
  held[added.name] = (held[added.name] or 0) + mode.weight
  barred = limit and beyond(limit, held) > 0
  if barred then return false end
  if alone then return true end
  for _, each in ipairs(present) do
    if each.capacity > 0 and held[each.name] > each.capacity then return false end
    if beyond(each, held, each == added) > 0 then return false end
  end
  return true
end
