-- Try commands that a user may or may not run, and undo each at once: what is there stays as it is.
-- ARGV: 1 commands as JSON, 2.. the keys they use, which did not exist before
-- Returns why each was refused ('' it was not, or for another reason than the user's rights).
local refused = {}
for number, words in ipairs(cjson.decode(ARGV[1])) do
  local said = redis.pcall(unpack(words))
  refused[number] = type(said) == 'table' and said.err or ''
  for index = 2, #ARGV do redis.pcall('DEL', ARGV[index]) end
end
return refused
