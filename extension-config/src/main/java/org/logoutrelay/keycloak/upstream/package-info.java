/**
 * What the identity providers say that users are linked to, and whom that contains. The relay has verified who says it;
 * who is linked to whom, what it causes and how many it may concern is judged here.
 */
package org.logoutrelay.keycloak.upstream;
