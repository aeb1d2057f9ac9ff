package org.logoutrelay.keycloak.spi;

import org.keycloak.events.EventListenerProvider;
import org.keycloak.models.KeycloakSession;
import org.keycloak.services.resource.RealmResourceProvider;
import org.keycloak.services.resource.RealmResourceProviderFactory;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.base.PlainFactory;
import org.logoutrelay.keycloak.rest.Endpoints;
import org.logoutrelay.keycloak.settle.AfterCommit;

/** Hangs {@link Endpoints} under {@code /realms/{realm}/logout-relay/}. */
public class EndpointsFactory extends PlainFactory<RealmResourceProvider> implements RealmResourceProviderFactory {
    @Override
    public RealmResourceProvider create(KeycloakSession session) {
        AfterCommit afterCommit = ((LogoutRelayListenerFactory) session.getKeycloakSessionFactory()
                .getProviderFactory(EventListenerProvider.class, LogoutRelay.ID)).afterCommit();
        return new RealmResourceProvider() {
            @Override
            public Object getResource() {
                return new Endpoints(session, afterCommit);
            }

            @Override
            public void close() {
                // holds nothing
            }
        };
    }

    @Override
    public String getId() {
        return LogoutRelay.ID;
    }
}
