-- Doubly linked lists: to join, to leave from the middle and to take the first are O(1), whatever happened before. A node
-- begins with the ids of the previous and of the next node. The `previous` of the first node is never read.

local function open(name, node)
  local header = get(name)
  if not header then return {name = name, node = node, head = nil, tail = nil, length = 0} end
  return {name = name, node = node, head = sub(header, LIST_HEAD), tail = sub(header, LIST_TAIL), length = sub(header, LIST_LENGTH) + 0}
end

local function following(list, id)
  local next_id = sub(get(list.node .. id), LINKS_NEXT)
  return next_id ~= NONE and next_id or nil
end

local touched                     -- who holds, who waits, or until when has changed
local function resize(list, change)
  touched = touched or list.name ~= 't'
  list.length = list.length + change
  put(list.name, list.head and list.head .. list.tail .. list.length)
end

local function append(list, id, body)
  local tail = list.tail
  if tail then
    local last = get(list.node .. tail)
    put(list.node .. tail, sub(last, LINKS_PREVIOUS) .. id .. sub(last, NODE_BODY))
  end
  put(list.node .. id, (tail or NONE) .. NONE .. body)
  list.head, list.tail = list.head or id, id
  resize(list, 1)
end

local function insert(list, id, before, body)
  local place = get(list.node .. before)
  local previous = NONE
  if before == list.head then
    list.head = id
  else
    previous = sub(place, LINKS_PREVIOUS)
    local neighbour = get(list.node .. previous)
    put(list.node .. previous, sub(neighbour, LINKS_PREVIOUS) .. id .. sub(neighbour, NODE_BODY))
  end
  put(list.node .. before, id .. sub(place, LINKS_NEXT_ON))
  put(list.node .. id, previous .. before .. body)
  resize(list, 1)
end

local function remove(list, id)
  local node = get(list.node .. id)
  local previous, next_id = sub(node, LINKS_PREVIOUS), sub(node, LINKS_NEXT)
  put(list.node .. id, false)
  if id == list.head then
    list.head = next_id ~= NONE and next_id or nil
    if not list.head then list.tail = nil end
  else
    local neighbour = get(list.node .. previous)
    put(list.node .. previous, sub(neighbour, LINKS_PREVIOUS) .. next_id .. sub(neighbour, NODE_BODY))
    if id == list.tail then
      list.tail = previous
    else
      neighbour = get(list.node .. next_id)
      put(list.node .. next_id, previous .. sub(neighbour, LINKS_NEXT_ON))
    end
  end
  resize(list, -1)
end
