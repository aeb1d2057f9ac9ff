package org.logoutrelay.keycloak.base;

import org.keycloak.Config;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.provider.Provider;
import org.keycloak.provider.ProviderFactory;

/** A factory of Keycloak's that has no options and holds nothing. */
public abstract class PlainFactory<T extends Provider> implements ProviderFactory<T> {
    @Override
    public void init(Config.Scope config) {
        // no options
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        // nothing to register
    }

    @Override
    public void close() {
        // holds nothing
    }
}
