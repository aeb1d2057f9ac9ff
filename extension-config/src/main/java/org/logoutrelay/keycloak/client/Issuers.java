package org.logoutrelay.keycloak.client;

import java.util.Optional;

import org.keycloak.Config;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.representations.LogoutToken;
import org.keycloak.services.Urls;
import org.keycloak.urls.HostnameProvider;
import org.keycloak.urls.UrlType;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.Json;

/**
 * The realm's issuer as the relay and the relying parties know it. Without a fixed host name Keycloak takes it from each
 * request: from an administrator's inner address, or not at all in a job of its own.
 */
public final class Issuers {
    private Issuers() {
    }

    /**
     * By configuration; else as the relay asks for its events; else as this request has it; else, off a request, as the newest
     * login had it. That one comes last, since whoever can log in can say which host they came by.
     *
     * @throws IllegalStateException off a request, where nothing says it; the event is then refused
     */
    public static String of(KeycloakSession session, RealmModel realm) {
        boolean fixed = isFixed(realm);
        IssuerRow asked = fixed ? null : Jpa.em(session).find(IssuerRow.class, realm.getId());
        if (asked != null) {
            return asked.iss;
        }
        try {
            return ofRequest(session, realm);
        } catch (RuntimeException e) {
            if (fixed) {
                // Off a request 26.5 does not even give what is fixed, but by this; the realm's own is that of the context.
                return Urls.realmIssuer(session.getProvider(HostnameProvider.class).getBaseUri(null, UrlType.FRONTEND), realm.getName());
            }
            return ofNewestLogin(session, realm).orElseThrow(() -> new IllegalStateException("The issuer of realm "
                    + realm.getName() + " is not known here: set the option hostname to Keycloak's full address, or the realm's"
                    + " frontend URL, or let the relay ask or somebody log in once", e));
        }
    }

    private static Optional<String> ofNewestLogin(KeycloakSession session, RealmModel realm) {
        return Jpa.em(session).createQuery("select t.claims from TemplateRow t where t.realmId = :realm order by t.usedMs desc, t.id desc",
                String.class).setParameter("realm", realm.getId()).setMaxResults(1).getResultStream().findFirst()
                .map(claims -> Json.read(claims, LogoutToken.class).getIssuer());
    }

    /** As the client sees it that this request is for. */
    public static String ofRequest(KeycloakSession session, RealmModel realm) {
        return Urls.realmIssuer(session.getContext().getUri(UrlType.FRONTEND).getBaseUri(), realm.getName());
    }

    public static boolean isFixed(RealmModel realm) {
        String realmUrl = realm.getAttribute("frontendUrl");
        String hostname = Config.scope("hostname", "v2").get("hostname");
        return realmUrl != null && !realmUrl.isBlank() || hostname != null && hostname.contains("://");
    }

    /** The relay has asked with a token of this issuer, which it is configured for. */
    public static void learn(KeycloakSession session, RealmModel realm, String issuer) {
        if (isFixed(realm)) {
            return;
        }
        IssuerRow known = Jpa.em(session).find(IssuerRow.class, realm.getId());
        if (known == null) {
            IssuerRow row = new IssuerRow();
            row.realmId = realm.getId();
            row.iss = issuer;
            Jpa.em(session).persist(row);
        } else if (!known.iss.equals(issuer)) {
            known.iss = issuer;
        }
    }

    /** Keycloak's own address in front of it, to resolve a relative URL by where there is no request. */
    static String base(KeycloakSession session, RealmModel realm) {
        String issuer = of(session, realm);
        return issuer.substring(0, issuer.lastIndexOf("/realms/"));
    }
}
