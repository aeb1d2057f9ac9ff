package org.logoutrelay.keycloak.settle;

import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.time.Duration;

import org.keycloak.Config;

/**
 * The server's options, scope {@code spi-events-listener--logout-relay--}. They are options and not realm attributes
 * because they touch the network: whoever administers a realm must not choose where the server connects to.
 *
 * @param pushUrl where SETs are POSTed, or null: then the relay polls
 * @param pushTimeout one deadline for a push
 * @param audience {@code aud} of the SETs
 * @param directories how often each directory is looked at
 */
public record Settings(URI pushUrl, Duration pushTimeout, String audience, Duration directories) {

    /** @throws IllegalArgumentException naming the option; Keycloak then refuses to start */
    public static Settings of(Config.Scope config) {
        String url = config.get("push-url");
        return new Settings(url == null || url.isBlank() ? null : pushUrl(url.trim(), config.getBoolean("push-allow-http", false)),
                timeout(config.getInt("push-timeout-ms", 5000)), config.get("audience", "logout-relay"),
                directories(config.getInt("directories-every-ms", 30000)));
    }

    static Duration directories(int millis) {
        if (millis < 500 || millis > 3_600_000) {
            throw new IllegalArgumentException("Option spi-events-listener--logout-relay--directories-every-ms is " + millis
                    + "; give milliseconds from 500 to 3600000, for example 30000");
        }
        return Duration.ofMillis(millis);
    }

    private static Duration timeout(int millis) {
        if (millis < 100 || millis > 60_000) {
            throw new IllegalArgumentException("Option spi-events-listener--logout-relay--push-timeout-ms is " + millis
                    + "; give milliseconds from 100 to 60000, for example 5000");
        }
        return Duration.ofMillis(millis);
    }

    static URI pushUrl(String text, boolean allowHttp) {
        String expected = "; give the relay's address, for example https://logout-relay.example.org/events";
        URI url;
        try {
            url = URI.create(text);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("Option spi-events-listener--logout-relay--push-url is not a URL" + expected);
        }
        boolean https = "https".equalsIgnoreCase(url.getScheme());
        if (url.getHost() == null || !https && !"http".equalsIgnoreCase(url.getScheme())) {
            throw new IllegalArgumentException("Option spi-events-listener--logout-relay--push-url is not an http(s) URL" + expected);
        }
        if (url.getUserInfo() != null || url.getFragment() != null) {
            throw new IllegalArgumentException("Option spi-events-listener--logout-relay--push-url has a user name or a fragment" + expected);
        }
        if (!https && !allowHttp && !isLoopback(url.getHost())) {
            throw new IllegalArgumentException("Option spi-events-listener--logout-relay--push-url is plain http to another host"
                    + expected + ", or set spi-events-listener--logout-relay--push-allow-http=true if something else encrypts the way");
        }
        return url;
    }

    private static boolean isLoopback(String host) {
        try {
            return InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException e) {
            return false;
        }
    }
}
