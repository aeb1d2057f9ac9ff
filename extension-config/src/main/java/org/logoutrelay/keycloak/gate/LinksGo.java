package org.logoutrelay.keycloak.gate;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.provider.ProviderEvent;

/** All links to this identity provider are about to be removed, with it. */
public record LinksGo(KeycloakSession session, RealmModel realm, String alias) implements ProviderEvent {
}
