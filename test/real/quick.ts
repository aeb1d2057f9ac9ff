/**
 * Makes what the tests start begin sooner and changes nothing of what it does. A Keycloak of a test lives for minutes: the
 * JVM's second compiler and a collector with threads of its own cost more than they give back. Passwords are hashed by
 * Keycloak's own algorithm, with less work. Node keeps what it has compiled for the next process.
 */
export const QUICK = {
  JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1 -XX:-UseG1GC -XX:+UseSerialGC',
  KC_SPI_PASSWORD_HASHING__ARGON2__ITERATIONS: '1',
  KC_SPI_PASSWORD_HASHING__ARGON2__MEMORY: '64',
  NODE_COMPILE_CACHE: '.cache/node',
}
