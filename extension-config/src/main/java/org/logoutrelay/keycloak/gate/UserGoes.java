package org.logoutrelay.keycloak.gate;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.provider.ProviderEvent;

/** The user is about to be removed from Keycloak's own table. */
public record UserGoes(KeycloakSession session, RealmModel realm, UserModel user) implements ProviderEvent {
}
