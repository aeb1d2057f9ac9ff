package org.logoutrelay.keycloak;

import java.util.Map;

import org.keycloak.OAuth2Constants;
import org.keycloak.OAuthErrorException;
import org.keycloak.events.Errors;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.OAuth2DeviceCodeModel;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.protocol.oidc.grants.AuthorizationCodeGrantType;
import org.keycloak.protocol.oidc.grants.AuthorizationCodeGrantTypeFactory;
import org.keycloak.protocol.oidc.grants.OAuth2GrantType;
import org.keycloak.protocol.oidc.grants.device.DeviceGrantType;
import org.keycloak.protocol.oidc.grants.device.DeviceGrantTypeFactory;
import org.keycloak.protocol.oidc.utils.OAuth2Code;
import org.keycloak.services.CorsErrorResponseException;

import jakarta.ws.rs.core.Response;

/**
 * Keycloak's own exchange of codes for tokens, in its place: a code from before its user's watermark is refused, though a
 * session with its id is there. Keycloak binds a code to the id of a session and no more, and makes that of the person who
 * has just changed the password anew under the same id.
 */
public final class Codes {
    /** Keycloak's own have 0. */
    private static final int ORDER = 1;

    private Codes() {
    }

    /** @param lifespan seconds, from the issue to {@code expiration} */
    private static void refuseOld(OAuth2GrantType.Context context, String sid, int expiration, int lifespan) {
        KeycloakSession session = context.getSession();
        RealmModel realm = context.getRealm();
        UserSessionModel found = sid == null ? null : session.sessions().getUserSession(realm, sid);
        if (found == null) {
            return;
        }
        // Of the watermark's own second is also the code of the person who goes on.
        long endOfItsSecond = (expiration - lifespan + 1) * 1000L;
        // Only a session that was made since is younger than the code; of no other need the database be asked.
        if (Logins.began(found) >= endOfItsSecond
                && Ledger.watermark(session, realm, found.getUser().getId()) >= endOfItsSecond) {
            context.getEvent().error(Errors.EXPIRED_CODE);
            throw new CorsErrorResponseException(context.getCors(), OAuthErrorException.INVALID_GRANT,
                    "The code is from before its user's sessions were ended", Response.Status.BAD_REQUEST);
        }
    }

    /** Keycloak's data of a code that has not been exchanged, or null. From 26.7 its key has a prefix. */
    private static Map<String, String> stored(KeycloakSession session, String id) {
        Map<String, String> found = session.singleUseObjects().get("code:" + id);
        return found == null ? session.singleUseObjects().get(id) : found;
    }

    /** RFC 6749 §4.1.3. */
    public static final class Authorization extends AuthorizationCodeGrantTypeFactory {
        @Override
        public OAuth2GrantType create(KeycloakSession session) {
            return new AuthorizationCodeGrantType() {
                @Override
                public Response process(Context context) {
                    String code = context.getFormParams().getFirst(OAuth2Constants.CODE);
                    Map<String, String> stored = code == null ? null : stored(context.getSession(), code.split("\\.", 2)[0]);
                    if (stored != null) {
                        OAuth2Code data = OAuth2Code.deserializeCode(stored);
                        refuseOld(context, data.getUserSessionId(), data.getExpiration(),
                                context.getRealm().getAccessCodeLifespan());
                    }
                    return super.process(context);
                }
            };
        }

        @Override
        public int order() {
            return ORDER;
        }
    }

    /** RFC 8628 §3.4. It counts from when the device asked for it. */
    public static final class Device extends DeviceGrantTypeFactory {
        @Override
        public OAuth2GrantType create(KeycloakSession session) {
            return new DeviceGrantType() {
                @Override
                public Response process(Context context) {
                    String code = context.getFormParams().getFirst(OAuth2Constants.DEVICE_CODE);
                    Map<String, String> stored = code == null ? null
                            : context.getSession().singleUseObjects().get(OAuth2DeviceCodeModel.createKey(code));
                    OAuth2DeviceCodeModel data = stored == null ? null
                            : OAuth2DeviceCodeModel.fromCache(context.getRealm(), code, stored);
                    if (data != null) {
                        refuseOld(context, data.getUserSessionId(), data.getExpiration(),
                                context.getRealm().getOAuth2DeviceConfig().getLifespan(context.getClient()));
                    }
                    return super.process(context);
                }
            };
        }

        @Override
        public int order() {
            return ORDER;
        }
    }
}
