/**
 * What a login has to prove after an event: the password of now, and a second factor where one is owed.
 */
package org.logoutrelay.keycloak.login;
