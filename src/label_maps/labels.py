"""Values with a meaning of their own in instance maps and targets."""

IGNORE = 65535  # in uint16 instance maps: neither object nor background, no loss, no score
IGNORED = 255  # the same in uint8 training targets
