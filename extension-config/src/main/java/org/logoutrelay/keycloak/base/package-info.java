/**
 * What everything else stands on. {@link org.logoutrelay.keycloak.base.AllOrNothing} has the promise: both or neither.
 */
package org.logoutrelay.keycloak.base;
