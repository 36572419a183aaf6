// Starts the console. A browser drops requests when an interface of the machine appears or goes, as pods' do.
import("./app.js")
  .catch((error) => {
    const times = Number(sessionStorage.getItem("sampan.loads") || 0) + 1;
    sessionStorage.setItem("sampan.loads", times);
    if (times > 5) throw error;
    setTimeout(() => location.reload(), 200 * times);
  })
  .then(() => sessionStorage.removeItem("sampan.loads"));
