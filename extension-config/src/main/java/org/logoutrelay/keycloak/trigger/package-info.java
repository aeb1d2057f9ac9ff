/**
 * What starts a containment. A new one is a line in {@link org.logoutrelay.keycloak.trigger.Trigger}.
 */
package org.logoutrelay.keycloak.trigger;
