/**
 * Imported before anything else, since libuv counts its threads when the first is needed. Names are looked up on them, and
 * on four, four names of servers that do not answer kept every other name waiting until its attempt had failed as well.
 */
process.env['UV_THREADPOOL_SIZE'] ??= '32'
