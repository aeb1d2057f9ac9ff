package org.logoutrelay.keycloak.rest;

import jakarta.ws.rs.core.CacheControl;
import jakarta.ws.rs.core.Response;

/** What was asked for; no cache keeps it. */
final class Answer {
    private Answer() {
    }

    static Response ok(Object body) {
        CacheControl noStore = new CacheControl();
        noStore.setNoStore(true);
        return Response.ok(body).cacheControl(noStore).build();
    }
}
