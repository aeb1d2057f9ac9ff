-- issuer, change
add_change(ARGV[1], ARGV[2])
