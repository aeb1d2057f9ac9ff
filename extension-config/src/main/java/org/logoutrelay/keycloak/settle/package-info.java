/**
 * What follows the commit, on threads of its own.
 */
package org.logoutrelay.keycloak.settle;
