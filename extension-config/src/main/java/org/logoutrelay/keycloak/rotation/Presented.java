package org.logoutrelay.keycloak.rotation;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import org.keycloak.OAuth2Constants;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.KeycloakSession;
import org.keycloak.util.BasicAuthHelper;
import org.logoutrelay.keycloak.gate.Requests;

import jakarta.ws.rs.core.HttpHeaders;
import jakarta.ws.rs.core.MultivaluedMap;

/**
 * What a request has brought of a client's secret. Keycloak takes the new and the old one and does not say which it was
 * ({@code ClientIdAndSecretAuthenticator}, {@code JWTClientSecretAuthenticator}), so it is read once more.
 */
final class Presented {
    private static final Map<String, String> MACS = Map.of("HS256", "HmacSHA256", "HS384", "HmacSHA384", "HS512", "HmacSHA512");

    private Presented() {
    }

    /** Whether it is this secret. What cannot be read is not. */
    static boolean is(KeycloakSession session, String stored) {
        String secret = stored == null ? null : session.vault().getStringSecret(stored).get().orElse(stored);
        return secret != null && is(secret, Requests.header(session, HttpHeaders.AUTHORIZATION), Requests.form(session));
    }

    static boolean is(String secret, String authorization, MultivaluedMap<String, String> form) {
        String assertion = form.getFirst(OAuth2Constants.CLIENT_ASSERTION);
        if (assertion != null) {
            return isSignedBy(secret, assertion);
        }
        String posted = form.getFirst(OAuth2Constants.CLIENT_SECRET);
        Stream<String> brought = posted != null ? Stream.of(posted) : authorization == null ? Stream.empty()
                : Stream.of(BasicAuthHelper.RFC6749.parseHeader(authorization), BasicAuthHelper.parseHeader(authorization))
                        .filter(Objects::nonNull).map(parts -> parts[1]);
        return brought.anyMatch(one -> MessageDigest.isEqual(bytes(one), bytes(secret)));
    }

    private static boolean isSignedBy(String secret, String assertion) {
        try {
            JWSInput jws = new JWSInput(assertion);
            String algorithm = MACS.get(jws.getHeader().getRawAlgorithm());
            if (algorithm == null) {
                return false;
            }
            Mac mac = Mac.getInstance(algorithm);
            mac.init(new SecretKeySpec(bytes(secret), algorithm));
            return MessageDigest.isEqual(mac.doFinal(bytes(jws.getEncodedSignatureInput())),
                    Base64.getUrlDecoder().decode(jws.getEncodedSignature()));
        } catch (JWSInputException | GeneralSecurityException | IllegalArgumentException e) {
            return false;
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
