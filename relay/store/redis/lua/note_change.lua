-- issuer, change
note_change(ARGV[1], ARGV[2])
