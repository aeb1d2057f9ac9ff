package org.logoutrelay.keycloak.gate;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.provider.ProviderEvent;

/**
 * All users that a federation has imported are about to be removed.
 *
 * @param federation the component's id
 * @param withIt whether the federation goes as well, and with it those users whom it does not import
 */
public record UsersGo(KeycloakSession session, RealmModel realm, String federation, boolean withIt) implements ProviderEvent {
}
