package org.logoutrelay.keycloak.workload;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.Base64;
import java.util.Locale;
import java.util.Set;

import org.keycloak.OAuth2Constants;
import org.keycloak.authentication.authenticators.client.FederatedJWTClientAuthenticator;
import org.keycloak.authentication.authenticators.client.JWTClientAuthenticator;
import org.keycloak.authentication.authenticators.client.X509ClientAuthenticator;
import org.keycloak.jose.jws.JWSHeader;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.KeycloakSession;
import org.keycloak.representations.JsonWebToken;
import org.keycloak.services.clientregistration.ClientRegistrationTokenUtils;
import org.keycloak.services.x509.X509ClientCertificateLookup;
import org.keycloak.util.TokenUtil;
import org.logoutrelay.keycloak.base.Tallies;
import org.logoutrelay.keycloak.gate.Requests;

import jakarta.ws.rs.core.HttpHeaders;
import jakarta.ws.rs.core.MultivaluedMap;

/** By which key, certificate or token a request has proven whose it is. Keycloak has verified it; what cannot be read is none. */
final class Proof {
    /** By a key pair. What is signed with the client's secret may have any {@code kid}, which Keycloak does not look at. */
    private static final Set<String> SIGNED = Set.of(JWTClientAuthenticator.PROVIDER_ID, FederatedJWTClientAuthenticator.PROVIDER_ID);

    private Proof() {
    }

    /**
     * The {@code kid} of what the grant or the client was signed with, else the certificate's thumbprint, or empty.
     *
     * @param kind as {@link Workload.Room} has it
     * @param method by which the client has proven itself, by Keycloak's name of it
     */
    static String key(KeycloakSession session, String kind, String method) {
        boolean byCertificate = !kind.equals(Workloads.JWT_BEARER) && X509ClientAuthenticator.PROVIDER_ID.equals(method);
        return byCertificate ? thumbprint(session) : kid(kind, method, Requests.form(session));
    }

    /**
     * Of a grant that is an assertion that one counts: it says who has unlocked the token (RFC 7523 §2.1). Keycloak passes over
     * an assertion that the grant or the client's method does not ask for, so it may say anything.
     */
    static String kid(String kind, String method, MultivaluedMap<String, String> form) {
        return kind.equals(Workloads.JWT_BEARER) ? kid(form.getFirst(OAuth2Constants.ASSERTION))
                : SIGNED.contains(method) ? kid(form.getFirst(OAuth2Constants.CLIENT_ASSERTION)) : "";
    }

    private static String kid(String assertion) {
        try {
            JWSHeader header = assertion == null ? null : new JWSInput(assertion).getHeader();
            return header == null ? "" : Tallies.text(header.getKeyId());
        } catch (JWSInputException e) {
            return "";
        }
    }

    private static String thumbprint(KeycloakSession session) {
        try {
            X509ClientCertificateLookup lookup = session.getProvider(X509ClientCertificateLookup.class);
            X509Certificate[] chain = lookup == null ? null : lookup.getCertificateChain(session.getContext().getHttpRequest());
            return chain == null || chain.length == 0 ? "" : thumbprint(chain[0].getEncoded());
        } catch (GeneralSecurityException e) {
            return "";
        }
    }

    static String thumbprint(byte[] certificate) throws GeneralSecurityException {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(MessageDigest.getInstance("SHA-256").digest(certificate));
    }

    /** What a request to register clients has brought. */
    record Brought(String method, String sub) {
        static final String REGISTRATION = "registration-access-token";
        private static final Brought NOTHING = new Brought("none", "");

        static Brought of(KeycloakSession session) {
            return of(Requests.header(session, HttpHeaders.AUTHORIZATION));
        }

        static Brought of(String authorization) {
            String[] parts = authorization == null ? new String[0] : authorization.trim().split("\\s+", 2);
            if (parts.length < 2 || !parts[0].toLowerCase(Locale.ROOT).equals("bearer")) {
                return NOTHING;
            }
            try {
                JsonWebToken token = new JWSInput(parts[1]).readJsonContent(JsonWebToken.class);
                return token == null ? NOTHING : switch (String.valueOf(token.getType())) {
                    case ClientRegistrationTokenUtils.TYPE_REGISTRATION_ACCESS_TOKEN -> new Brought(REGISTRATION, "");
                    case ClientRegistrationTokenUtils.TYPE_INITIAL_ACCESS_TOKEN -> new Brought("initial-access-token", "");
                    case TokenUtil.TOKEN_TYPE_BEARER -> new Brought("access-token", Tallies.text(token.getSubject()));
                    default -> NOTHING;
                };
            } catch (JWSInputException e) {
                return NOTHING;
            }
        }
    }
}
